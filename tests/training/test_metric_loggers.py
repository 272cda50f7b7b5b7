"""The loggers that a switch adds to the log."""

import sys
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import MetricLog, read_metric_log
from lavis_sam.training.metric_loggers import build_metric_loggers


class Recorder:
    """In the place of TensorBoard's writer and of wandb."""

    def __init__(self, *args):
        self.points, self.closed, self.given = [], False, args

    def add_scalar(self, name, value, step):
        self.points.append((name, value, step))

    def log(self, values, step):
        self.points.extend((name, value, step) for name, value in values.items())

    def close(self):
        self.closed = True

    finish = close


@pytest.mark.parametrize("switch", ["tensorboard", "wandb"])
def test_a_switch_adds_a_logger(tmp_path, monkeypatch, switch):
    made = []

    def make(*args, **kwargs):
        made.append(Recorder(*args, kwargs))
        return made[-1]

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=make))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=make))
    config = dummy_config(tmp_path, job_id="run", max_epoch=2, test_splits=["test"], **{switch: True})
    datasets = {"s": {"train": DummyDataset(8), "test": DummyDataset(2)}}
    RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), datasets).train()
    (writer,) = made
    assert writer.closed
    assert [step for name, _, step in writer.points if name == "train/loss"] == [0, 1, 2, 3]
    assert [step for name, _, step in writer.points if name == "evaluation/loss"] == [3]
    assert "run" in str(writer.given)
    assert all(isinstance(value, float) for _, value, _ in writer.points)


def test_tensorboard_reads_what_it_was_logged(tmp_path):
    config = dummy_config(tmp_path, job_id="run", max_epoch=2, tensorboard=True)
    RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), {"s": {"train": DummyDataset(8)}}).train()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = [event for event in read_metric_log(tmp_path / "run" / "log.jsonl") if event["event"] == "train"]
    points = events.Scalars("train/loss")
    assert [point.step for point in points] == [0, 1, 2, 3]
    assert [point.value for point in points] == pytest.approx([event["loss"] for event in logged], rel=1e-6)


@pytest.mark.parametrize(("switch", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_switch_without_its_package_names_the_remedy(tmp_path, monkeypatch, switch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SamConfigurationError, match=rf"run\.{switch}: .*pip install {switch}"):
        build_metric_loggers(RunSettings(**{switch: True}), tmp_path, {})
    assert build_metric_loggers(RunSettings(), tmp_path, {}) == []


def test_no_logger_outlives_the_failure_of_another(tmp_path, monkeypatch):
    """Both keep threads: what was opened is closed when the second cannot be, or cannot be closed."""
    first, second = Recorder(), Recorder()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=lambda folder: first))
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SamConfigurationError, match="wandb"):
        build_metric_loggers(RunSettings(tensorboard=True, wandb=True), tmp_path, {})
    assert first.closed

    class Broken(Recorder):
        def close(self):
            raise OSError("the disk is full")

    metric_log = MetricLog(tmp_path / "log.jsonl")
    metric_log.metric_loggers = [second, Broken()]
    with pytest.raises(OSError, match="full"):
        metric_log.close()
    assert second.closed
    metric_log.close()
