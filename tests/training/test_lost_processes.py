"""A process of a distributed run that dies, hangs or fails: the others end in time, with an error that names it."""

import os
import signal
import socket
import time
import traceback
from datetime import timedelta

import pytest
import torch

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from helpers.processes import CLEAN, clean_process
from lavis_sam import distributed
from lavis_sam.errors import SamDataError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import read_metric_log

LIMIT = 4.0  # seconds; the time limit of the runs
STEP = 3
SECONDS = 120  # for a loaded machine; nothing here takes long


class Unlucky(DummyModel):
    """On one rank, something happens at a step."""

    def forward(self, samples):
        factor = self.fate() if distributed.rank() == self.victim and len(self.calls) == STEP else None
        output = super().forward(samples)
        return output | {"loss": output["loss"] * (1.0 if factor is None else factor)}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(60)


def fail():
    raise SamDataError("sample 'x' is broken")


def diverge():
    """The loss of this rank's batch is not a number."""
    return float("nan")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def member(folder, rank, world, port, victim, fate, answers, further):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    try:
        launch = distributed.Launch(rank, world, rank)
        with distributed.process_group(launch, torch.device("cpu"), timedelta(seconds=LIMIT)):
            model = Unlucky()
            model.victim, model.fate = victim, fate
            config = dummy_config(folder, max_epoch=9, batch_size_train=2, job_id="run", **further)
            RunnerSam(config, MultiImageCaptioningTask(), model, {"s": {"train": DummyDataset(12)}}).train()
        answers.put((rank, "finished"))
    except Exception as error:
        answers.put((rank, f"{type(error).__name__}: {error}"))
        traceback.print_exc()


def run(folder, victim, fate, world=3, heard=None, **further):
    """What each rank ended with (by default all but the victim), and how many seconds that took."""
    answers, port = CLEAN.Queue(), free_port()
    started = time.monotonic()
    members = [
        clean_process(member, folder, rank, world, port, victim, fate, answers, further) for rank in range(world)
    ]
    for process in members:
        process.start()
    try:
        found = {}
        wanted = {rank for rank in range(world) if rank != victim} if heard is None else heard
        while not wanted <= set(found):
            rank, text = answers.get(timeout=SECONDS)
            found[rank] = text
        found = {rank: text for rank, text in found.items() if rank in wanted}
        return found, time.monotonic() - started
    finally:
        for process in members:
            process.kill()
            process.join()


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.integration)])
def test_a_killed_rank_is_named(tmp_path, victim):
    found, seconds = run(tmp_path, victim, die)
    assert len(found) == 2
    for text in found.values():
        assert text.startswith("LostProcessError")
        assert f"rank {victim}" in text.split(";", 1)[1]
        assert "run.resume=auto" in text
    assert seconds < SECONDS


@pytest.mark.integration
def test_a_rank_that_hangs_is_named_after_the_time_limit(tmp_path):
    found, seconds = run(tmp_path, 1, hang, world=2)
    assert "rank 1 died or is late" in found[0]
    assert "run.timeout_minutes" in found[0]
    assert LIMIT < seconds < SECONDS


@pytest.mark.integration
def test_a_loss_that_is_not_finite_stops_all_ranks_and_names_one(tmp_path):
    found, _ = run(tmp_path, 1, diverge, world=2, heard={0, 1})
    for text in found.values():
        assert text.startswith("SamDataError: epoch 1 step 0: found a summed loss of nan")
        assert "rank 1 had the samples ['s" in text
        assert "rank 0 had" not in text


@pytest.mark.integration
def test_ranks_skip_a_step_together(tmp_path):
    found, _ = run(tmp_path, 1, diverge, world=2, heard={0, 1}, max_nonfinite_steps=1)
    assert found == {0: "finished", 1: "finished"}
    events = list(read_metric_log(tmp_path / "run" / "log.jsonl"))
    assert [event["place"] for event in events if event["event"] == "skipped"] == ["epoch 1 step 0"]
    assert sum(event["event"] == "train" for event in events) == 9 * 3


@pytest.mark.integration
def test_the_error_of_another_rank_is_passed_on(tmp_path):
    found, _ = run(tmp_path, 1, fail, world=2)
    assert "rank 1 stopped (SamDataError: sample 'x' is broken)" in found[0]


def test_a_missing_address_is_named(monkeypatch):
    """What srun does not set, the launcher script has to."""
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(distributed.SamConfigurationError, match=r"MASTER_ADDR, MASTER_PORT missing.*train_slurm"),
        distributed.process_group(distributed.Launch(0, 2, 0), torch.device("cpu")),
    ):
        pass
