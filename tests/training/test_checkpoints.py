"""Checkpoint files of a run: exactly what was trained, whole or refused."""

import errno

import pytest
import torch

import lavis_sam.weights.checkpoints
from helpers.dummies import DummyModel
from helpers.runs import events, make_runner, whole
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamCheckpointError
from lavis_sam.training.checkpoints import Progress, RunCheckpoints, RunState, load_model, load_run
from lavis_sam.training.optimisation import build_optimizer

CONFIG = {"run": {"max_epoch": 3}}
PROGRESS = Progress(epochs=1, validated=1, step=5, best_metric=-2.5, best_epoch=0, sums={"loss": 0.5})


@pytest.fixture
def model():
    return DummyModel()


@pytest.fixture
def optimizer(model):
    optimizer = build_optimizer(model, RunSettings(init_lr=0.1))
    model.trained(torch.ones(3)).sum().backward()
    optimizer.step()
    return optimizer


def save(folder, name, model, optimizer, progress=None, keep=2):
    progress = progress or Progress(epochs=1)
    return RunCheckpoints(folder, keep).save(
        name, model=model, config=CONFIG, state=RunState(progress), optimizer=optimizer, scaler=None
    )


def test_holds_exactly_the_trained_parameters_and_what_continuing_needs(tmp_path, model, optimizer):
    path = save(tmp_path, 0, model, optimizer, PROGRESS)
    content = torch.load(path, weights_only=True)
    assert path.name == "checkpoint_0.pth"
    assert set(content["model"]) == {"trained.weight", "trained.bias"}
    assert content["config"] == CONFIG
    assert content["progress"] == vars(PROGRESS)
    assert "torch" in content["versions"]
    assert content["optimizer"]["state"]


def test_continues_with_weights_moments_and_progress(tmp_path, model, optimizer):
    path = save(tmp_path, 0, model, optimizer, PROGRESS)
    other = DummyModel()
    other_optimizer = build_optimizer(other, RunSettings(init_lr=0.1))
    assert load_run(path, other, other_optimizer, None).progress == PROGRESS
    for part, part_optimizer in ((model, optimizer), (other, other_optimizer)):
        part_optimizer.zero_grad()
        part.trained(torch.ones(3)).sum().backward()
        part_optimizer.step()
    assert torch.equal(model.trained.weight, other.trained.weight)


def test_keeps_the_last_ones_and_the_best(tmp_path, model, optimizer):
    save(tmp_path, "best", model, optimizer)
    (tmp_path / "checkpoint_notes.txt").touch()
    for epoch in range(12):
        save(tmp_path, epoch, model, optimizer)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["checkpoint_10.pth", "checkpoint_11.pth", "checkpoint_best.pth", "checkpoint_notes.txt"]


def test_a_crash_while_writing_leaves_the_earlier_file(tmp_path, model, optimizer, monkeypatch):
    path = save(tmp_path, "best", model, optimizer)
    before = path.read_bytes()

    def full_disk(obj, target, *args, **kwargs):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(SamCheckpointError, match=r"No space.*Earlier ones are as they were.*resume=auto"):
        save(tmp_path, "best", model, optimizer)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint_best.pth"]


@pytest.mark.parametrize(
    "loader", [load_model, lambda path, model: load_run(path, model, build_optimizer(model, RunSettings()), None)]
)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["model"].pop("trained.bias"), ["missing", "trained.bias"]),
        (lambda c: c["model"].update({"frozen.weight": torch.zeros(3, 3)}), ["unexpected", "frozen.weight"]),
        (lambda c: c["model"].update({"trained.bias": torch.zeros(9)}), ["[9]", "[1]"]),
        (lambda c: c.pop("model"), ["model"]),
    ],
    ids=["missing", "unexpected", "shape", "no model"],
)
def test_weights_must_be_exactly_those_that_are_trained(tmp_path, model, optimizer, loader, change, words):
    """LAVIS falls back to `strict=False` for any mismatch (defect 12), and cannot resume at all (defect 11)."""
    path = save(tmp_path, "best", model, optimizer)
    content = torch.load(path)
    change(content)
    torch.save(content, path)
    with pytest.raises(SamCheckpointError) as caught:
        loader(path, model)
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_an_adapter_alone_cannot_be_continued(tmp_path, model, optimizer):
    path = tmp_path / "adapter.pth"
    torch.save({"model": {name: p for name, p in model.state_dict().items() if "trained" in name}}, path)
    load_model(path, model)
    with pytest.raises(SamCheckpointError, match=r"optimizer, progress missing.*model.finetuned"):
        load_run(path, model, optimizer, None)


def test_an_optimizer_of_another_run_is_refused(tmp_path, model, optimizer):
    path = save(tmp_path, 0, model, optimizer)
    other = torch.optim.AdamW([model.trained.weight])
    with pytest.raises(SamCheckpointError, match="optimizer state does not fit"):
        load_run(path, model, other, None)


@pytest.mark.parametrize("reported", ["by the system", "by torch"])
def test_a_full_disk_is_one_clear_error_and_no_checkpoint_is_lost(tmp_path, monkeypatch, reported):
    runner, save, calls = make_runner(tmp_path), torch.save, []

    def full(obj, path):
        calls.append(path)
        if len(calls) > 3:
            path.write_bytes(b"half a file")
            if reported == "by torch":
                raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(obj, path)

    monkeypatch.setattr(lavis_sam.weights.checkpoints.torch, "save", full)
    with pytest.raises(SamCheckpointError, match=r"run/checkpoint_1_step4\.pth: the checkpoint cannot be written"):
        runner.train()
    assert whole(tmp_path) == ["checkpoint_0.pth", "checkpoint_0_step2.pth"]
    assert not list(tmp_path.glob("run/.*"))
    monkeypatch.undo()
    continued = make_runner(tmp_path)  # there is room again
    continued.train()
    assert events(continued, "resumed")[0]["step"] == 3


def test_a_read_only_folder_is_one_clear_error(tmp_path, monkeypatch):
    runner, made = make_runner(tmp_path), []

    def read_only(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    def after_two_steps(event, **values):
        made.append(event)
        if len(made) == 2:
            monkeypatch.setattr(lavis_sam.weights.checkpoints, "atomic_path", read_only)

    monkeypatch.setattr(runner.metric_log, "write", after_two_steps)
    with pytest.raises(SamCheckpointError, match=r"Read-only file system.*Earlier ones are as they were"):
        runner.train()
    assert whole(tmp_path) == ["checkpoint_0_step1.pth"]


def first(optimizer_state):
    return optimizer_state["state"][0]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: c["optimizer"].update(state=[1]), "found no state of each parameter"),
        (lambda c: c.update(optimizer=torch.ones(3)), "too many indices"),
        (lambda c: c["optimizer"].update(param_groups=torch.ones(3)), "too many indices|invalid index"),
        (lambda c: c["optimizer"]["state"].update({0: [1]}), "found no state of each parameter"),
        (lambda c: first(c["optimizer"]).pop("step"), "'step'"),
        (lambda c: first(c["optimizer"]).update(step=[1]), "a moment of the type list"),
        (lambda c: first(c["optimizer"]).update(exp_avg={}), "a moment of the type dict"),
        (lambda c: first(c["optimizer"])["exp_avg"].fill_(float("nan")), "a moment with numbers that are NaN"),
        (
            lambda c: first(c["optimizer"]).update(exp_avg_sq=torch.ones(3, 3).to_sparse()),
            "wanted a tensor with numbers",
        ),
        (
            lambda c: first(c["optimizer"]).update(exp_avg=torch.ones(3, 3, device="meta")),
            "wanted a tensor with numbers",
        ),
        (lambda c: c["optimizer"]["param_groups"][0].update(lr="fast"), "a learning rate that is no number"),
        (lambda c: c.update(optimizer=3), "does not fit this run"),
        (lambda c: c.update(scaler={"scale": "x"}), "found no state of a loss scaler"),
        (lambda c: c["progress"].update(step="many"), "its progress is damaged .step is a str"),
        (lambda c: c["progress"].update(sums={"loss": None}), "its progress is damaged .loss is a NoneType"),
        (lambda c: c["progress"].update(sums=None), "its progress is damaged"),
    ],
)
def test_odd_states_are_refused_before_anything_is_loaded(tmp_path, model, optimizer, damage, words):
    path = save(tmp_path, 0, model, optimizer)
    content = torch.load(path, weights_only=True)
    damage(content)
    content["model"]["trained.weight"] += 1
    torch.save(content, path)
    before = model.trained.weight.clone()
    with pytest.raises(SamCheckpointError, match=words):
        load_run(path, model, optimizer, torch.amp.GradScaler("cpu"))
    assert torch.equal(model.trained.weight, before)
