"""Continuing with other batches and processes: each sample of the epoch once, and a learning rate without jumps."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.dummies import DummyDataset, DummyModel, dummy_config, record, write_dataset
from helpers.runs import events
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.training_data import build_training_data

COUNT = 18


class Stopped(DummyModel):
    """Ends the process's run in the middle of a forward pass, as a crash does."""

    at = 10**9

    def forward(self, samples):
        if len(self.calls) >= self.at:
            raise KeyboardInterrupt
        return super().forward(samples)


def make_runner(folder, model=None, dataset=None, **run):
    options = {"max_epoch": 2, "checkpoint_steps": 1, "keep_checkpoints": 99, "job_id": "run", "resume": "auto"}
    config = dummy_config(folder, **options | run)
    datasets = {"s": {"train": dataset or DummyDataset(COUNT)}}
    return RunnerSam(config, MultiImageCaptioningTask(), model or DummyModel(), datasets)


def crash(folder, batches, **run):
    """Train until a crash in the batch after `batches`; what was trained on."""
    model = Stopped()
    model.at = batches
    with pytest.raises(KeyboardInterrupt):
        make_runner(folder, model, **run).train()
    return model.calls


def names(calls):
    return Counter(name for call in calls for name in call)


EVERYONE = Counter(f"s{index}" for index in range(COUNT))


@pytest.mark.parametrize(
    ("before", "after", "accumulate"),
    [(3, 6, 1), (6, 3, 1), (3, 4, 1), (9, 2, 1), (3, 6, 2), (2, 5, 2), (3, 1, 2)],
)
def test_resume_trains_each_sample_once_with_another_batch_size(tmp_path, before, after, accumulate):
    """The issue's case, 3 -> 6 after half an epoch, skipped 9 of 18 samples."""
    steps = 1 if before * accumulate > 5 else 2
    options = {"accum_grad_iters": accumulate, "max_epoch": 1}
    begun = crash(tmp_path, steps * accumulate, batch_size_train=before, **options)
    continued = make_runner(tmp_path, batch_size_train=after, **options)
    continued.train()
    assert names(begun) + names(continued._model.calls) == EVERYONE
    assert {len(call) for call in continued._model.calls[:-1]} == {after}
    assert [event["samples"] for event in events(continued, "epoch")] == [COUNT]


def data(dataset, batch_size, ranks=1, rank=0, **options):
    return build_training_data(dataset, batch_size=batch_size, seed=3, rank=rank, world_size=ranks, **options)


def taken(parts, epoch, steps=None):
    """The samples that the processes of a run take, together, in the next `steps` batches."""
    found = Counter()
    for part in parts:
        part.start(epoch, 3)
    while parts[0].remaining and (steps is None or steps > 0):
        steps = None if steps is None else steps - 1
        for part in parts:
            batch = part.next_batch()
            found.update(batch.samples["sample_id"] if batch.counts else [])
    return found


@given(
    length=st.integers(1, 30), sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=2, max_size=4),
    steps=st.integers(0, 6), epoch=st.integers(0, 2),
)  # fmt: skip
def test_resume_within_an_epoch_for_any_batch_size_and_number_of_processes(length, sizes, steps, epoch):
    """A run that is continued again and again, each time with another batch size and number of processes."""
    found, state = Counter(), None
    for number, (batch_size, ranks) in enumerate(sizes):
        parts = [data([DummyDataset(length)], batch_size, ranks, rank) for rank in range(ranks)]
        for part in parts:
            if state is not None:
                part.load_state_dict(state)
        found += taken(parts, epoch, None if number == len(sizes) - 1 else steps)
        (state,) = {str(part.state_dict() | {"global_batch": 0}): part.state_dict() for part in parts}.values()
    assert found == Counter(f"s{index}" for index in range(length))


def test_resume_of_a_mixture_by_ratio_goes_on_in_the_same_order():
    def parts(batch_size):
        sets = [DummyDataset(7, "a"), DummyDataset(5, "b")]
        sets[0].sample_ratio, sets[1].sample_ratio = 1, 3
        return [data(sets, batch_size)]

    whole = taken(parts(3), 1)
    first, second = parts(3), parts(4)
    begun = taken(first, 1, steps=2)
    second[0].load_state_dict(first[0].state_dict())
    assert max(whole.values()) > 1
    assert begun + taken(second, 1) == whole


def test_resume_of_an_old_place_that_counts_batches():
    first, second = data([DummyDataset(COUNT)], 3), data([DummyDataset(COUNT)], 6)
    begun = taken([first], 0, steps=3)
    old = {key: value for key, value in first.state_dict().items() if key not in ("position", "order_digest")}
    second.load_state_dict(old)
    assert begun + taken([second], 0) == EVERYONE


def annotated(tmp_path, count=COUNT, **changes):
    records = [record(f"s{i}", img_list=[f"{i}.png"], output="a word " * (1 + i % 5)) | changes for i in range(count)]
    annotations = write_dataset(tmp_path, records)
    return read_annotations(annotations, tmp_path)


def test_resume_of_bucketed_batches_names_the_remedy(tmp_path):
    dataset = MultiImageDataset(annotated(tmp_path), FolderImages(tmp_path), lambda image: torch.zeros(3, 2, 2))
    first = data([dataset], 3, batching="bucketed")
    taken([first], 0, steps=2)
    data([dataset], 3, batching="bucketed").load_state_dict(first.state_dict())
    with pytest.raises(
        SamCheckpointError, match=r"bucketed batches also run\.batch_size_train x processes.*or continue"
    ):
        data([dataset], 6, batching="bucketed").load_state_dict(first.state_dict())


@pytest.mark.parametrize("change", [{"seed": 9}, {"length": 17}, {"batching": "bucketed"}])
def test_resume_within_an_epoch_refuses_another_order(tmp_path, change):
    def made(length=COUNT, seed=3, **options):
        dataset = MultiImageDataset(annotated(tmp_path, length), FolderImages(tmp_path), lambda i: torch.zeros(3, 2, 2))
        return build_training_data([dataset], batch_size=3, seed=seed, rank=0, world_size=1, **options)

    first = made()
    taken([first], 0, steps=2)
    with pytest.raises(SamCheckpointError, match="within an epoch, a run continues only with the same samples"):
        made(**change).load_state_dict(first.state_dict())


def test_resume_within_an_epoch_refuses_a_storage_that_shuffles_otherwise():
    """Shards are read nearby, files are not: the same samples come in another order."""

    class Nearby(DummyDataset):
        def nearby_order(self, generator):
            return list(range(len(self)))

    first = data([DummyDataset(COUNT)], 3)
    taken([first], 0, steps=2)
    with pytest.raises(SamCheckpointError, match="same order"):
        data([Nearby(COUNT)], 3).load_state_dict(first.state_dict())


@pytest.mark.parametrize("after", [6, 4])
def test_resume_at_the_end_of_an_epoch_with_another_batch_size(tmp_path, after):
    """Batch 9 -> 6 was refused after a signal in the last step of an epoch."""

    class Signalled(DummyModel):
        def forward(self, samples):
            if len(self.calls) == 1:
                runner.stop.name = "SIGTERM"
            return super().forward(samples)

    runner = make_runner(tmp_path, Signalled(), batch_size_train=9)
    runner.train()
    assert [path.name for path in runner.checkpoints.newest_first()] == [
        "checkpoint_0_step2.pth",
        "checkpoint_0_step1.pth",
    ]
    continued = make_runner(tmp_path, batch_size_train=after)
    continued.train()
    assert names(continued._model.calls) == EVERYONE  # epoch 1 alone
    assert [event["samples"] for event in events(continued, "epoch")] == [COUNT, COUNT]


def rates(folder, **run):
    runner = make_runner(folder, **run)
    runner.train()
    return [event["lr"] for event in events(runner, "train")]


@pytest.mark.parametrize(("before", "after"), [(3, 6), (6, 3)])
@pytest.mark.parametrize("warmup", [0, 2, 6])
def test_resume_with_other_steps_goes_on_with_the_learning_rate(tmp_path, caplog, before, after, warmup):
    """At each sample, the rate is the one that the run which never changed has there; it ends at the minimum."""
    caplog.set_level("INFO")
    options = {"warmup_steps": warmup, "min_lr": 0.001, "max_epoch": 3, "init_lr": 0.05}
    whole = rates(tmp_path / "whole", batch_size_train=before, **options)
    begun = 2 * (COUNT // before) - 1 if before == 6 else 2 * (COUNT // before) - 2
    crash(tmp_path / "here", begun, batch_size_train=before, **options)
    found = rates(tmp_path / "here", batch_size_train=after, **options)
    assert found[:begun] == whole[:begun]
    at_sample = {step * before: rate for step, rate in enumerate(whole)}
    for number, rate in enumerate(found[begun:]):
        sample = begun * before + number * after
        if sample in at_sample:
            # A step of another size ends elsewhere, so the decay is stretched by less than one step.
            assert rate == pytest.approx(at_sample[sample], abs=0.05 * 3 * max(before, after) / (3 * COUNT))
    assert found[begun] < 0.05
    assert found[-1] == pytest.approx(0.001)
    assert f"a step has {after} samples, and had {before}" in caplog.text


def test_resume_with_larger_steps_does_not_warm_up_again(tmp_path):
    """The warm-up of 6 steps of 3 samples is over after 18 samples, 3 steps of 6."""
    options = {"warmup_steps": 6, "max_epoch": 8, "init_lr": 0.05}
    crash(tmp_path, 12, batch_size_train=3, **options)
    found = rates(tmp_path, batch_size_train=6, **options)[12:]
    assert found == sorted(found, reverse=True)
    crash(tmp_path / "b", 3, batch_size_train=3, **options)
    middle = rates(tmp_path / "b", batch_size_train=6, **options)  # in the middle of the warm-up: 3 of 6, 1 of 3
    assert middle[:6] == pytest.approx([0, 0.05 / 6, 0.05 * 2 / 6, 0.05 / 3, 0.05 * 2 / 3, 0.05])


def test_resume_twice_with_other_steps_gives_the_same_rates(tmp_path):
    options = {"warmup_steps": 8, "max_epoch": 3, "init_lr": 0.05}
    for name in ("once", "twice"):
        crash(tmp_path / name, 4, batch_size_train=3, **options)
    crash(tmp_path / "twice", 2, batch_size_train=6, **options)
    assert rates(tmp_path / "once", batch_size_train=6, **options) == rates(
        tmp_path / "twice", batch_size_train=6, **options
    )


CHANGES = [
    ({"accum_grad_iters": 2}, "run.accum_grad_iters: then 1, now 2"),
    ({"init_lr": 0.1}, "run.init_lr: then 0.05, now 0.1"),
    ({"seed": 7}, "run.seed: then 42, now 7"),
    ({"weight_decay": 0.0}, "run.weight_decay"),
    ({"lr_sched": "linear_warmup_cosine_lr"}, "run.lr_sched"),
]


@pytest.mark.parametrize("at", [2, 6, None], ids=["within an epoch", "between epochs", "finished"])
@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_resume_refuses_what_changes_the_meaning(tmp_path, at, change, words):
    if at is None:
        make_runner(tmp_path, batch_size_train=3).train()
    else:
        crash(tmp_path, at, batch_size_train=3)
    model = DummyModel()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(SamConfigurationError) as caught:
        make_runner(tmp_path, model, batch_size_train=3, **change).train()
    assert words in str(caught.value)
    assert "run.resume_with_changes=true" in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.calls == []


def test_resume_does_not_fall_back_to_an_older_checkpoint_that_fits(tmp_path):
    """The newest was made with changes; whoever takes them back is told, and does not lose the steps since."""
    crash(tmp_path, 2, batch_size_train=3)
    crash(tmp_path, 2, batch_size_train=3, init_lr=0.1, resume_with_changes=True)
    with pytest.raises(SamConfigurationError, match=r"checkpoint_0_step4\.pth.*\n  run\.init_lr: then 0\.1, now 0\.05"):
        make_runner(tmp_path, batch_size_train=3).train()


def test_resume_with_changes_that_are_allowed_uses_them(tmp_path, caplog):
    crash(tmp_path, 2, batch_size_train=3)
    allowed = {"init_lr": 0.1, "weight_decay": 0.5, "accum_grad_iters": 2, "resume_with_changes": True}
    runner = make_runner(tmp_path, batch_size_train=3, **allowed)
    runner.train()
    assert "run.init_lr: then 0.05, now 0.1" in caplog.text
    assert max(event["lr"] for event in events(runner, "train")[2:]) > 0.05
    assert runner.optimizer.param_groups[0]["weight_decay"] == 0.5
    assert [event["samples"] for event in events(runner, "epoch")] == [COUNT] * 2


def test_resume_lists_what_merely_changes(tmp_path, caplog):
    caplog.set_level("INFO")
    make_runner(tmp_path, max_epoch=1, batch_size_train=3).train()
    make_runner(tmp_path, max_epoch=3, batch_size_train=6, num_workers=1, log_freq=7).train()
    for words in (
        "run.max_epoch: then 1, now 3",
        "run.batch_size_train: then 3, now 6",
        "run.num_workers: then 0, now 1",
        "run.log_freq: then 1000, now 7",
    ):
        assert f"changed: {words}" in caplog.text
    assert caplog.text.count("changed: ") == 4


def test_resume_takes_more_processes_for_fewer_accumulated_batches(tmp_path, caplog):
    """The same samples a step: the recipe is the same, and nothing is refused."""
    caplog.set_level("INFO")
    crash(tmp_path, 4, batch_size_train=3, accum_grad_iters=2)
    runner = make_runner(tmp_path, batch_size_train=6, accum_grad_iters=1)
    runner.train()
    assert "changed: run.accum_grad_iters: then 2, now 1" in caplog.text
    assert {event["samples"] for event in events(runner, "train")} == {6}


def images_to_colour(image):
    return torch.tensor(image.resize((2, 2)).getpixel((0, 0)), dtype=torch.float32)[:, None, None].expand(3, 8, 8) / 255


@pytest.mark.parametrize("epochs", [1, 2], ids=["between epochs", "within an epoch"])
@pytest.mark.parametrize(
    "change",
    [{"output": "other words"}, {"instruction": "Which?"}, {"img_list": ["0.png", "1.png"]}, {"id": "t"}, None],
)
def test_resume_refuses_other_training_data(tmp_path, epochs, change):
    """Of the same length, in the middle of an epoch and between two; as long as that is all the same, it continues."""

    def dataset(folder, changes):
        samples = annotated(folder)
        if changes:
            samples[5] = read_annotations(write_dataset(folder / "c", [record("s5") | changes]), folder / "c")[0]
        return MultiImageDataset(samples, FolderImages(folder), images_to_colour)

    options = {"batch_size_train": 3, "checkpoint_steps": None if epochs == 1 else 1}
    if epochs == 1:
        make_runner(tmp_path, dataset=dataset(tmp_path / "a", None), max_epoch=1, **options).train()
    else:
        crash(tmp_path, 2, dataset=dataset(tmp_path / "a", None), **options)
    again = make_runner(tmp_path, dataset=dataset(tmp_path / "b", change), **options)
    if change is None:
        again.train()
    else:
        with pytest.raises(SamConfigurationError, match="training data: other ids, texts or image names"):
            again.train()


def test_resume_refuses_another_frozen_model_of_the_same_shapes(tmp_path):
    class WithBase(DummyModel):
        def __init__(self, scale=1.0):
            super().__init__()
            self.ln_vision = torch.nn.LayerNorm(3).requires_grad_(False)
            self.ln_vision.weight.data *= scale

    make_runner(tmp_path, WithBase(), batch_size_train=3, max_epoch=1).train()
    make_runner(tmp_path, WithBase(1.0001), batch_size_train=3, max_epoch=1).train()  # rounded elsewhere
    with pytest.raises(SamConfigurationError, match="frozen weights: others than the checkpoint's in ln_vision"):
        make_runner(tmp_path, WithBase(1.5), batch_size_train=3).train()


def test_resume_from_a_file_without_fingerprints_says_what_was_not_compared(tmp_path, caplog):
    caplog.set_level("INFO")
    crash(tmp_path, 2, batch_size_train=3)
    for path in (tmp_path / "run").glob("*.pth"):
        content = torch.load(path)
        del content["fingerprints"]
        torch.save(content, path)
    make_runner(tmp_path, batch_size_train=3).train()
    assert "not compared, because the checkpoint does not say: training data, frozen weights" in caplog.text


def test_resume_of_one_crop_needs_a_file_that_knows_it_as_fixed(tmp_path):
    crash(tmp_path, 2, batch_size_train=3, feature_crops=1)
    paths = list((tmp_path / "run").glob("*.pth"))
    for path in paths:
        content = torch.load(path)
        assert content["fingerprints"].pop("fixed_crops") is True
        torch.save(content, path.with_suffix(".older"))
    make_runner(tmp_path, batch_size_train=3, feature_crops=1).train()
    for path in (tmp_path / "run").glob("*.pth"):
        path.unlink()
    for path in paths:
        path.with_suffix(".older").rename(path)
    with pytest.raises(SamConfigurationError, match=r"run\.feature_crops: then null, now 1.*drew a new crop each time"):
        make_runner(tmp_path, batch_size_train=3, feature_crops=1).train()
    make_runner(tmp_path, batch_size_train=3).train()


@pytest.mark.parametrize("entry", ["data", "fingerprints", "config", "progress"])
def test_resume_names_a_damaged_entry(tmp_path, entry):
    crash(tmp_path, 1, batch_size_train=3)
    (path,) = (tmp_path / "run").glob("*.pth")
    content = torch.load(path)
    torch.save(content | {entry: ["damaged"]}, path)
    with pytest.raises(SamCheckpointError, match=rf"checkpoint_0_step1\.pth: .*{entry}"):
        make_runner(tmp_path, batch_size_train=3).train()


def test_resume_during_a_validation_that_draws_at_random_does_not_reach_training(tmp_path):
    """The answers that are there are kept, so a validation that is continued draws fewer numbers than a whole one."""

    class Drawing(DummyModel):
        def forward(self, samples):
            output = super().forward(samples)
            return output | {"loss": output["loss"] * (0.5 + torch.rand(()))}

    def runner(name, **run):
        config = dummy_config(tmp_path, job_id=name, max_epoch=2, checkpoint_steps=1, keep_checkpoints=99, **run)
        datasets = {"s": {"train": DummyDataset(8), "val": DummyDataset(3)}}
        return RunnerSam(config, MultiImageCaptioningTask(), Drawing(), datasets)

    found = []
    for name, splits in (("validated", ["val"]), ("plain", [])):
        torch.manual_seed(0)
        found.append(runner(name, valid_splits=splits))
        found[-1].train()
    losses = [[event["loss"] for event in events(runner, "train")] for runner in found]
    assert losses[0] == losses[1]
