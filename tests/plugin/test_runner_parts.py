"""The parts that the runner makes when they are first asked for, on a CPU and in one process."""

import pytest
import torch

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask


def make_runner(folder, *, model=None, datasets=None, job_id=None, **run):
    config = dummy_config(folder, **({"test_splits": ["test"]} | run))
    datasets = datasets or {"fake": {"train": DummyDataset(10), "test": DummyDataset(5)}}
    return RunnerSam(config, MultiImageCaptioningTask(), model or DummyModel(), datasets, job_id)


def test_the_model_is_there_on_the_cpu(tmp_path):
    """Defect 1: LAVIS's `model` is None there."""
    runner = make_runner(tmp_path)
    assert isinstance(runner.model, DummyModel)
    assert runner.device == torch.device("cpu")
    assert not runner.cuda_enabled
    assert runner.train_loader.pin_memory is False


def test_a_named_run(tmp_path):
    assert make_runner(tmp_path, job_id="mine").output_dir == tmp_path / "mine"
    config = dummy_config(tmp_path, job_id="yours")
    runner = RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), {"d": {"train": DummyDataset(2)}})
    assert runner.output_dir == tmp_path / "yours"


def test_an_unknown_schedule_lists_the_valid_ones(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"run.lr_sched: unknown learning-rate schedule 'cosine'.*Valid: "):
        make_runner(tmp_path, lr_sched="cosine").train()


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"wants the split 'test', found \{'s': \['train'\]\}"):
        make_runner(tmp_path, datasets={"s": {"train": DummyDataset(2)}}).train()


def test_a_model_without_trainable_parameters_is_an_error(tmp_path):
    model = DummyModel()
    model.requires_grad_(False)
    with pytest.raises(SamConfigurationError, match="no trainable parameter"):
        make_runner(tmp_path, model=model).train()
