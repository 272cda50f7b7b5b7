"""A data worker that is killed, in training and in evaluation: one error that names it, and nothing lost."""

import multiprocessing
import os
import signal

import pytest
import torch

import lavis_sam.weights.checkpoints
from helpers.dummies import DummyDataset
from helpers.runs import events, make_runner, whole
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.generation_loop import generate_records
from lavis_sam.memory import naming_dead_worker

NAMED = r"data worker process \d+ was killed by signal: Killed: .*memory ran out.*run\.num_workers.*run\.resume=auto"


class Killing(DummyDataset):
    """The worker that reads a sample is killed, as the system does it when memory ends."""

    def __init__(self, length, at):
        super().__init__(length)
        self.at = at

    def __getitem__(self, index):
        if index == self.at and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_training_names_a_killed_data_worker_and_goes_on_without(tmp_path):
    with pytest.raises(SamConfigurationError, match=NAMED):
        make_runner(tmp_path, Killing(12, at=7), num_workers=2).train()
    whole(tmp_path)
    continued = make_runner(tmp_path, Killing(12, at=7), num_workers=0)
    continued.train()
    assert len({event["step"] for event in events(continued, "train")}) == 6


def test_evaluation_names_a_killed_data_worker(tmp_path):
    loader = EvaluationLoader(Killing(8, at=5), 2, num_workers=2)

    def answer(content):
        return [{"sample_id": name, "pred_response": "", "gt_response": "g"} for name in content["sample_id"]]

    with pytest.raises(SamConfigurationError, match=NAMED) as caught, naming_dead_worker():
        generate_records(loader, answer, folder=tmp_path)
    assert multiprocessing.active_children() == []  # while the traceback knows everything that was there
    assert caught.tb is not None


def test_a_checkpoint_is_not_blamed_for_a_killed_data_worker(tmp_path, monkeypatch):
    """PyTorch raises out of whatever runs when the system tells it."""
    runner = make_runner(tmp_path)

    def described(obj, path):
        raise RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. ")

    monkeypatch.setattr(lavis_sam.weights.checkpoints.torch, "save", described)
    with pytest.raises(SamConfigurationError, match=NAMED):
        runner.train()
