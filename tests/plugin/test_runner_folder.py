"""The folder of a run belongs to one run at a time, holds one run, and is as it was after a refusal."""

import os
import socket
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from helpers.digests import folder_digests
from helpers.dummies import DummyDataset, DummyModel, dummy_config
from helpers.processes import CLEAN, clean_process
from lavis_sam import distributed
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.locks import locked
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import read_metric_log

SECONDS = 120


def make_runner(folder, *, model=None, **run):
    config = dummy_config(folder, **({"job_id": "run", "max_epoch": 2, "test_splits": ["test"]} | run))
    datasets = {"s": {"train": DummyDataset(8), "test": DummyDataset(2)}}
    return RunnerSam(config, MultiImageCaptioningTask.setup_task(cfg=config), model or DummyModel(), datasets)


def train(folder, **run):
    runner = make_runner(folder, **run)
    runner.train()
    return runner


def events(folder, kind):
    return [event for event in read_metric_log(folder / "run" / "log.jsonl") if event["event"] == kind]


def wrong_checkpoint(folder):
    """A checkpoint of another model, newer than all that are there."""
    path = folder / "run" / "checkpoint_9.pth"
    torch.save({"model": {"other.weight": torch.zeros(2)}, "progress": {}, "optimizer": {}}, path)
    for other in folder.glob("run/checkpoint_[01].pth"):
        other.unlink()
    return path


REFUSED = {
    "the same job_id": ({}, r"run: found .*run\.resume=auto.*run\.overwrite=true.*another run\.job_id"),
    "no checkpoint that fits": ({"resume": "auto"}, "none of the checkpoints here can be continued from"),
    "a checkpoint that does not fit": ({"resume_ckpt_path": "checkpoint_9.pth"}, "checkpoint_9.pth"),
    "an unknown schedule": ({"lr_sched": "cosine", "overwrite": True}, "unknown learning-rate schedule 'cosine'"),
    "a logger without its package": ({"wandb": True, "overwrite": True}, "pip install wandb"),
    "a split that is not there": ({"test_splits": ["none"], "overwrite": True}, "wants the split 'none'"),
    "answers of something else": ({"evaluate": True, "decoding": {"num_beams": 2}}, "num_beams: then 5, now 2"),
}


@pytest.mark.parametrize(("run", "message"), REFUSED.values(), ids=REFUSED)
def test_a_refused_run_leaves_every_byte_of_its_folder(tmp_path, monkeypatch, run, message):
    monkeypatch.setitem(sys.modules, "wandb", None)
    train(tmp_path, valid_splits=["test"], test_splits=[])
    if "evaluate" in run:
        train(tmp_path, evaluate=True)
    (tmp_path / "run" / ".checkpoint_1.pth.7-ab.tmp").write_bytes(b"half")
    wrong_checkpoint(tmp_path)
    before = folder_digests(tmp_path)
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises((SamConfigurationError, SamCheckpointError, ValueError), match=message):
        train(tmp_path, init_lr=0.01, **run)
    assert folder_digests(tmp_path) == before


def test_overwrite_begins_anew_and_removes_only_what_a_run_writes(tmp_path):
    fresh = train(tmp_path / "other", init_lr=0.01)
    train(tmp_path, max_epoch=4, valid_splits=["test"], tensorboard=True)
    (tmp_path / "run" / "notes.txt").touch()
    runner = train(tmp_path, init_lr=0.01, overwrite=True)
    wanted = {*folder_digests(fresh.output_dir), "notes.txt"}
    assert set(folder_digests(runner.output_dir)) == wanted
    assert [event["step"] for event in events(tmp_path, "train")] == [0, 1, 2, 3]
    assert torch.equal(runner._model.trained.weight, fresh._model.trained.weight)


def test_a_run_goes_on_in_its_folder_by_each_way_to_say_so(tmp_path):
    train(tmp_path)
    file = str(tmp_path / "run" / "checkpoint_1.pth")
    for epochs, way in enumerate(({"resume": "auto"}, {"resume": file}, {"resume_ckpt_path": file}), start=3):
        train(tmp_path, max_epoch=epochs, keep_checkpoints=9, **way)
    assert len(events(tmp_path, "resumed")) == 3


def test_an_evaluation_goes_on_in_a_folder_and_leaves_the_trainings_configuration(tmp_path):
    train(tmp_path, test_splits=[])
    before = folder_digests(tmp_path)
    runner = train(tmp_path, evaluate=True)
    after = folder_digests(tmp_path)
    assert {name for name in before if name.endswith((".pth", "config.yaml")) and before[name] == after[name]} == {
        "run/checkpoint_0.pth",
        "run/checkpoint_1.pth",
        "run/config.yaml",
    }
    assert OmegaConf.load(runner.output_dir / "config_evaluate.yaml").run.evaluate is True


class Slow(DummyModel):
    def forward(self, samples):
        time.sleep(0.1)
        return super().forward(samples)


def test_a_second_run_at_the_same_time_is_refused_and_the_first_goes_on(tmp_path):
    first = clean_process(train, tmp_path, model=Slow(), max_epoch=8)
    first.start()
    try:
        deadline = time.monotonic() + SECONDS
        while not (tmp_path / "run" / "log.jsonl").is_file():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for way in ({}, {"resume": "auto"}, {"overwrite": True}, {"evaluate": True}):
            runner = make_runner(tmp_path, **way)
            with pytest.raises(SamConfigurationError, match=r"another process is working.*another run\.job_id"):
                runner.train()
        with pytest.raises(SamConfigurationError, match="another process is working"):
            runner.evaluate(cur_epoch="last")
        assert first.is_alive(), "the first run was over too soon to say anything"
        first.join(SECONDS)
        assert first.exitcode == 0
    finally:
        first.kill()
        first.join()
    assert [event["step"] for event in events(tmp_path, "train")] == list(range(16))
    assert len(events(tmp_path, "finished")) == 1


def member(rank, port, answers, work, arguments):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    try:
        with distributed.process_group(distributed.Launch(rank, 2, rank), torch.device("cpu"), timedelta(seconds=60)):
            answer = work(*arguments)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    answers.put((rank, answer))


def on_two_ranks(work, *arguments):
    """What `work` returns, or its error as a text, on either of two processes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    answers = CLEAN.Queue()
    members = [clean_process(member, rank, port, answers, work, arguments) for rank in range(2)]
    for process in members:
        process.start()
    try:
        found = dict(answers.get(timeout=SECONDS) for _ in members)
    finally:
        for process in members:
            process.kill()
            process.join()
    return [found[rank] for rank in range(2)]


@pytest.mark.parametrize("what", ["another process is working", "there is a run in this folder already"])
def test_every_rank_learns_of_a_refusal(tmp_path, what):
    (tmp_path / "run").mkdir()
    if "already" in what:
        (tmp_path / "run" / "log.jsonl").touch()
    with locked(tmp_path / "run", "x") if "another" in what else nullcontext():
        found = on_two_ranks(train, tmp_path)
    assert all(what in text for text in found), found


class Scored(MultiImageCaptioningTask):
    """Validations give these metrics, one after the other."""

    def __init__(self, *metrics):
        super().__init__()
        self._metrics = iter(metrics)

    def after_evaluation(self, *, split_name, **given):
        found = super().after_evaluation(split_name=split_name, **given)
        return found | {"agg_metrics": next(self._metrics)} if split_name == "val" else found


def scored(folder, *metrics, **run):
    runner = make_runner(folder, valid_splits=["val"], keep_checkpoints=9, checkpoint_steps=3, **run)
    runner.datasets["s"]["val"] = DummyDataset(2)
    runner.task = Scored(*metrics)
    runner.train()
    return runner


def names(folder):
    return {path.name for path in folder.glob("checkpoint_*")}


def test_what_a_run_goes_back_behind_is_set_aside_and_auto_goes_on_from_the_new_steps(tmp_path, caplog):
    first = scored(tmp_path, 0.5, 0.6, 0.7, max_epoch=3)
    later = {f"checkpoint_{name}.pth" for name in ("1_step3", "1", "2", "best")}
    assert names(first.output_dir) == {"checkpoint_0.pth", *later}
    before = folder_digests(first.output_dir)
    source = first.output_dir / "checkpoint_0.pth"
    with caplog.at_level("WARNING"):
        second = scored(tmp_path, 0.1, max_epoch=2, resume_ckpt_path=str(source))
    aside = first.output_dir / "set_aside" / "1"
    assert names(aside) == later
    assert all(folder_digests(aside.parent)[f"1/{name}"] == before[name] for name in later)
    assert len([record for record in caplog.records if "set aside in" in record.message]) == 1
    (event,) = events(tmp_path, "set_aside")
    assert (event["step"], set(event["checkpoints"])) == (2, later)
    # The best is that of the first epoch, and no later one.
    assert second.progress.best_metric == 0.5
    assert torch.load(second.checkpoints.path("best"))["progress"]["epochs"] == 1
    third = scored(tmp_path, 0.2, max_epoch=3, resume="auto")
    assert events(tmp_path, "resumed")[-1]["checkpoint"].endswith("run/checkpoint_1.pth")
    assert (third.progress.step, len(events(tmp_path, "set_aside"))) == (6, 1)
    scored(tmp_path, 0.1, max_epoch=2, resume=str(source))
    assert names(aside.parent / "2") == later - {"checkpoint_best.pth"}


def test_a_best_that_is_gone_is_forgotten(tmp_path):
    """The best of the first epoch was written over by that of the third; the run goes back to the second."""
    first = scored(tmp_path, 0.5, 0.4, 0.7, max_epoch=3)
    second = scored(tmp_path, 0.3, max_epoch=3, resume=str(first.output_dir / "checkpoint_1.pth"))
    assert (second.progress.best_metric, second.progress.best_epoch) == (0.3, 2)
    assert "checkpoint_best.pth" in names(first.output_dir / "set_aside" / "1")


def test_a_kill_while_files_are_set_aside_leaves_a_folder_that_goes_on(tmp_path, monkeypatch):
    first = scored(tmp_path, 0.5, 0.6, 0.7, max_epoch=3)
    moved, rename = [], Path.rename

    def killed(path, target):
        moved.append(path.name)
        if len(moved) == 3:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        scored(tmp_path, max_epoch=2, resume=str(first.output_dir / "checkpoint_0.pth"))
    monkeypatch.undo()
    assert moved == ["checkpoint_1_step3.pth", "checkpoint_1.pth", "checkpoint_2.pth"]
    # As though nobody had gone back: the farthest is the last to be moved.
    again = scored(tmp_path, max_epoch=3, resume="auto")
    assert (again.progress.step, again.progress.best_metric) == (6, 0.7)


def test_a_run_that_goes_on_from_another_ones_file_has_its_best(tmp_path):
    first = scored(tmp_path / "first", 0.5, 0.4, max_epoch=2)
    from_best = scored(tmp_path / "second", 0.1, max_epoch=2, resume=str(first.checkpoints.path(0)))
    assert (from_best.progress.best_epoch, from_best.checkpoints.path("best").is_file()) == (0, True)
    from_later = scored(tmp_path / "third", 0.1, max_epoch=3, resume=str(first.checkpoints.path(1)))
    assert from_later.progress.best_epoch == 2


def go_back(folder):
    progress = scored(folder, 0.1, max_epoch=3, resume=str(folder / "run" / "checkpoint_1.pth")).progress
    return progress.best_epoch, progress.best_metric


@pytest.mark.parametrize("is_writable", [True, False])
def test_every_rank_goes_back_alike(tmp_path, is_writable):
    scored(tmp_path, 0.7, 0.6, 0.9, max_epoch=3, batch_size_train=4)
    if not is_writable:
        (tmp_path / "run" / "set_aside").touch()
    found = on_two_ranks(go_back, tmp_path)
    if is_writable:
        assert found == [(2, 0.1), (2, 0.1)]  # the best of before, epoch 0, has no file any more
    else:
        assert all("cannot be written" in text for text in found), found
