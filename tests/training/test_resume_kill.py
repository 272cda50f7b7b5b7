"""A run that is killed without warning and continued is the run that was never killed, bit by bit."""

import functools
import operator
import os
import random
import signal
import sys
import time
from contextlib import contextmanager

import pytest
import torch
from torchvision.transforms import Compose, RandomErasing, Resize, ToTensor

from helpers.dummies import SIZE, DummyDataset, DummyModel, dummy_config, record, write_dataset
from helpers.processes import CLEAN, clean_process
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.shards import open_shards, write_shards
from lavis_sam.datasets.shards.stream import ShardStream
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.checkpoints import RunCheckpoints
from lavis_sam.training.metric_log import read_metric_log

LENGTH, EPOCHS, SECONDS = 22, 4, 120


AUGMENTED = Compose([Resize((SIZE, SIZE)), ToTensor(), RandomErasing(p=0.5)])


class Noisy(DummyModel):
    """Its loss depends on torch's own random generator, as with dropout; a step takes long enough to be hit."""

    def forward(self, samples):
        time.sleep(0.01)
        output = super().forward(samples)
        return output | {"loss": output["loss"] * (0.5 + torch.rand(()))}


def shards(folder):
    """As many samples in tar shards, with images that are changed at random."""
    names = [f"{index}.png" for index in range(LENGTH)]
    records = [
        record(f"s{i}", img_list=[name], output=" ".join(["word"] * (1 + i % 5))) for i, name in enumerate(names)
    ]
    if (folder / "shards").exists():
        return opened(folder)
    (folder / "pictures").mkdir(parents=True)
    annotations = write_dataset(folder / "pictures", records)
    samples = read_annotations([annotations], folder / "pictures")
    write_shards(samples, folder / "pictures", folder / "shards", shard_bytes=18_000)
    return opened(folder)


def opened(folder):
    return open_shards([folder / "shards"], AUGMENTED)


def stream(folder):
    shards(folder)
    return ShardStream([str(folder / "shards")], AUGMENTED, shuffle_buffer=5)


KINDS = {
    "map": lambda folder: DummyDataset(LENGTH),
    "shards": shards,
    "stream": stream,
}


def start(folder, kind, workers, **run):
    """A run over `kind`, that continues where its folder says."""
    torch.manual_seed(7)
    options = {"max_epoch": EPOCHS, "batch_size_train": 2, "accum_grad_iters": 2, "checkpoint_steps": 2}
    options |= {"num_workers": workers, "job_id": "run", "resume": "auto", "valid_splits": ["val"]}
    config = dummy_config(folder, **options | run)
    datasets = {"s": {"train": KINDS[kind](folder), "val": DummyDataset(2)}}
    runner = RunnerSam(config, MultiImageCaptioningTask(), Noisy(), datasets)
    runner.train()
    return runner


def losses(folder):
    """Step -> (loss, rate, gradient norm); a step that was made twice, before a kill and again, was the same twice."""
    found = {}
    for event in read_metric_log(folder / "run" / "log.jsonl"):
        if event["event"] == "train":
            values = (event["loss"], event["lr"], event["grad_norm"], event["samples"])
            assert found.setdefault(event["step"], values) == values
    return found


@contextmanager
def running(folder, kind, workers, until):
    """A run in a process of its own, from the moment that a training step fits `until`; it never outlives the block."""
    child = clean_process(start, folder, kind, workers)
    child.start()
    try:
        deadline, metric_log = time.monotonic() + SECONDS, folder / "run" / "log.jsonl"
        while not (
            metric_log.exists() and any(e["event"] == "train" and until(e) for e in read_metric_log(metric_log))
        ):
            assert child.is_alive(), "the run ended before it got there"
            assert time.monotonic() < deadline, "the run does not get there"
            time.sleep(0.002)
        yield child
    finally:
        child.kill()
        child.join()


def kill_after(folder, kind, workers, step):
    """Start the run in a process of its own and kill that without warning when it has made `step`."""
    with running(folder, kind, workers, lambda event: event["step"] >= step) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.join(SECONDS)
        assert child.exitcode == -signal.SIGKILL, "the run ended before it was killed"


LONG = {"max_epoch": 14, "checkpoint_steps": 1}
# Where counting to a kill begins, and how many kills begin there.
BEGINNINGS = {"the process": 10, "its first step": 10, "its first writing of a checkpoint": 10}


def begins(frame):
    """Which of `BEGINNINGS` the call of a function is, if it is one."""
    name = frame.f_code.co_name
    if name == "forward" and isinstance(frame.f_locals.get("self"), Noisy):
        return "its first step"
    return "its first writing of a checkpoint" if name == "save_checkpoint" else None


def count_calls(folder, report):
    """A whole run; how many functions it calls in each part, on an average."""
    calls, at = 0, {}

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")
        if event in ("call", "return") and (name := begins(frame)):
            at.setdefault((name, event), calls)

    sys.setprofile(count)
    steps = start(folder, "map", 0, **LONG).progress.step
    sys.setprofile(None)
    first, writing = at["its first step", "call"], "its first writing of a checkpoint"
    per_step = (calls - first) // steps
    sizes = [first + per_step, 3 * per_step, at[writing, "return"] - at[writing, "call"]]
    report.send(dict(zip(BEGINNINGS, sizes, strict=True)))


def die_after(folder, beginning, calls):
    """A run that dies, as by `kill -9`, in the middle of what it does: after so many calls of functions."""
    left = calls if beginning == "the process" else None

    def count(frame, event, argument):
        nonlocal left
        if left is None and event == "call" and begins(frame) == beginning:
            left = calls
        if left is not None and event in ("call", "c_call"):
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    start(folder, "map", 0, **LONG)


def in_child(target, *arguments):
    """The exit code of `target` in a process of its own."""
    child = clean_process(target, *arguments)
    child.start()
    try:
        child.join(SECONDS)
        return child.exitcode
    finally:
        child.kill()
        child.join()


@pytest.mark.integration
def test_kill_and_resume_at_thirty_random_points_of_one_run_is_bit_equal(tmp_path):
    """While it loads, steps, logs, validates, writes checkpoints and removes old ones; the points are seeded."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    receive, send = CLEAN.Pipe(duplex=False)
    assert in_child(count_calls, whole, send) == 0
    most, draw, torn = receive.recv(), random.Random(30), 0
    beginnings = [name for name, kills in BEGINNINGS.items() for _ in range(kills)]
    draw.shuffle(beginnings)
    for beginning in beginnings:
        assert in_child(die_after, killed, beginning, draw.randint(1, most[beginning])) == -signal.SIGKILL
        torn += bool(list(killed.glob("run/.checkpoint_*.tmp")))
    assert torn >= 5
    continued = start(killed, "map", 0, **LONG)
    assert losses(killed) == losses(whole)
    assert len(losses(killed)) == LONG["max_epoch"] * 6
    names = {path.name for path in (whole / "run").glob("*.pth")}
    assert names == {path.name for path in (killed / "run").glob("*.pth")} >= {"checkpoint_best.pth"}
    for name in names:
        one, two = (torch.load(folder / "run" / name, weights_only=True) for folder in (whole, killed))
        for part in (("model",), ("optimizer", "state"), ("random", 0, "torch")):
            wanted, found = (functools.reduce(operator.getitem, part, content) for content in (one, two))
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert continued.progress.epochs == LONG["max_epoch"]
    assert not list(killed.glob("run/.*"))


CASES = [pytest.param(k, w, marks=[pytest.mark.integration] * (w > 0)) for k in KINDS for w in (0, 2)]


@pytest.mark.parametrize(("kind", "workers"), CASES)
def test_kill_and_resume_is_bit_equal(tmp_path, kind, workers):
    """Three random kills of one run; six such runs are eighteen points, at steps and half-way through them."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = start(whole, kind, workers)
    expected = losses(whole)
    draw = random.Random(f"{kind} {workers}")
    for step in sorted(draw.sample(range(1, len(expected) - 2), 3)):
        kill_after(killed, kind, workers, step)
        time.sleep(draw.random() * 0.01)
    continued = start(killed, kind, workers)
    assert losses(killed) == expected
    for name, weight in uninterrupted._model.state_dict().items():
        assert torch.equal(weight, continued._model.state_dict()[name]), name
    assert continued.progress.best_metric == uninterrupted.progress.best_metric
    epochs = [
        [
            (e["epoch"], e["loss"], e["samples"])
            for e in read_metric_log(f / "run" / "log.jsonl")
            if e["event"] == "epoch"
        ]
        for f in (whole, killed)
    ]
    assert dict.fromkeys(epochs[0]) == dict.fromkeys(epochs[1])
    assert {samples for _, _, samples in epochs[0]} == {LENGTH}
    assert not list(killed.glob("run/.*"))


@pytest.mark.integration
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_kill_and_resume_after_a_signal(tmp_path, name):
    """A polite signal leaves a checkpoint of the very step, and exit code 0."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    uninterrupted = start(whole, "map", 2, checkpoint_epochs=100)
    with running(stopped, "map", 2, lambda event: event["step"] >= 8) as child:
        os.kill(child.pid, getattr(signal, name))
        child.join(SECONDS)
        assert child.exitcode == 0
    *_, last_step, end = read_metric_log(stopped / "run" / "log.jsonl")
    assert (end["event"], end["signal"], end["step"]) == ("stopped", name, last_step["step"] + 1)
    content = torch.load(max((stopped / "run").glob("*_step*.pth"), key=os.path.getmtime), weights_only=True)
    assert content["progress"]["step"] == end["step"]
    continued = start(stopped, "map", 2)
    assert losses(stopped) == losses(whole)
    assert torch.equal(continued._model.trained.weight, uninterrupted._model.trained.weight)


def test_kill_and_resume_refuses_torn_and_foreign_files_and_uses_the_one_before(tmp_path, caplog):
    expected = start(tmp_path / "whole", "map", 0)
    folder = tmp_path / "here"
    kill_after(folder, "map", 0, 15)
    newest = RunCheckpoints(folder / "run", 2).newest_first()[0]
    torn = folder / "run" / "checkpoint_3_step20.pth"
    content = newest.read_bytes()
    torn.write_bytes(content[: len(content) // 2])
    damaged = folder / "run" / "checkpoint_3_step21.pth"
    inside = bytes(torch.load(newest)["random"][0]["torch"].numpy())
    place = content.index(inside) + 100  # inside a tensor, where only a checksum notices
    damaged.write_bytes(content[:place] + b"\x01" * 8 + content[place + 8 :])
    torch.save(
        {"model": {"other.weight": torch.zeros(2)}, "progress": {}, "optimizer": {}},
        folder / "run" / "checkpoint_9.pth",
    )
    continued = start(folder, "map", 0)
    refused = [record.getMessage() for record in caplog.records if record.getMessage().startswith("refused")]
    assert [
        next(p.name for p in (folder / "run" / "checkpoint_9.pth", damaged, torn) if p.name in r) for r in refused
    ] == ["checkpoint_9.pth", damaged.name, torn.name]
    assert torch.equal(continued._model.trained.weight, expected._model.trained.weight)
