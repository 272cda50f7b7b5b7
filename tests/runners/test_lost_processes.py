"""A process of a distributed run that dies, hangs or fails: the others end in time, with an error that names it."""

import multiprocessing
import os
import signal
import socket
import time
import traceback
from datetime import timedelta

import pytest
import torch

from helpers.stand_in import StandInDataset, StandInModel, stand_in_config
from lavis_sam import distributed
from lavis_sam.errors import SamDataError
from lavis_sam.runners.runner_sam import RunnerSam
from lavis_sam.tasks.multi_image_captioning import MultiImageCaptioningTask

FORK = multiprocessing.get_context("fork")
LIMIT = 4.0  # seconds; the time limit of the runs
STEP = 3


class Unlucky(StandInModel):
    """On one rank, something happens at a step."""

    def forward(self, samples):
        if distributed.rank() == self.victim and len(self.calls) == STEP:
            self.fate()
        return super().forward(samples)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(60)


def fail():
    raise SamDataError("sample 'x' is broken")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def member(folder, rank, world, port, victim, fate, answers):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    try:
        launch = distributed.Launch(rank, world, rank)
        with distributed.process_group(launch, torch.device("cpu"), timedelta(seconds=LIMIT)):
            model = Unlucky()
            model.victim, model.fate = victim, fate
            config = stand_in_config(folder, max_epoch=9, batch_size_train=2, job_id="run")
            RunnerSam(config, MultiImageCaptioningTask(), model, {"s": {"train": StandInDataset(12)}}).train()
        answers.put((rank, "finished"))
    except Exception as error:
        answers.put((rank, f"{type(error).__name__}: {error}"))
        traceback.print_exc()


def run(folder, victim, fate, world=3):
    """What each rank that is not the victim ended with, and how many seconds that took."""
    answers, port = FORK.Queue(), free_port()
    started = time.monotonic()
    members = [
        FORK.Process(target=member, args=(folder, rank, world, port, victim, fate, answers)) for rank in range(world)
    ]
    for process in members:
        process.start()
    try:
        found = {}
        while len(found) < world - 1:
            rank, text = answers.get(timeout=60)
            if rank != victim:
                found[rank] = text
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
    assert seconds < 30


@pytest.mark.integration
def test_a_rank_that_hangs_is_named_after_the_time_limit(tmp_path):
    found, seconds = run(tmp_path, 1, hang, world=2)
    assert "rank 1 died or is late" in found[0]
    assert "run.timeout_minutes" in found[0]
    assert seconds < 30


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
