"""Seeing a run: the progress line, the log after a crash, the loggers that a switch adds."""

import io
import logging
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.display import EpochDisplay
from lavis_sam.training.metric_log import MetricLog, read_metric_log
from lavis_sam.training.metric_loggers import build_metric_loggers
from lavis_sam.training.output_folder import is_finished, unfinished_run
from lavis_sam.training.steps import StepReport

SETTINGS = RunSettings(max_epoch=3, log_freq=2)
REPORT = StepReport(1.5, 10, 4, 2e-5, 0.1, seconds=2.0, data_seconds=0.5, memory=3 * 2**30)


def test_the_line_says_all_there_is_to_know():
    display = EpochDisplay(1, SETTINGS, 5, done=2)
    with display:
        display.show_step(REPORT)
        # 2 steps of this epoch and 5 of the last are left, at 2 seconds a step.
        expected = "step 3/5  loss 1.5000  lr 2.00e-05  2.0 samples/s  data 25 %  3.0 GiB  00:14 left"
        assert display.text(REPORT) == expected


def test_without_a_terminal_there_are_plain_lines(caplog):
    caplog.set_level(logging.INFO)
    with EpochDisplay(0, SETTINGS, 4, done=0, console=Console(file=io.StringIO())) as display:
        assert display._live is None
        for _ in range(4):
            display.show_step(REPORT)
    steps = [record.getMessage().split("step ")[1].split()[0] for record in caplog.records]
    assert steps == ["1/4", "3/4", "4/4"]
    assert "\x1b" not in caplog.text


def test_on_a_terminal_there_is_one_live_line(caplog):
    caplog.set_level(logging.INFO)
    screen = io.StringIO()
    with EpochDisplay(0, SETTINGS, 2, done=0, console=Console(file=screen, force_terminal=True, width=150)) as display:
        display.show_step(REPORT)
        display.show_step(REPORT)
    assert "epoch 1/3" in screen.getvalue()
    assert "step 2/2" in screen.getvalue()
    assert not caplog.records


def test_hours_are_shown():
    display = EpochDisplay(0, RunSettings(max_epoch=1), 10_000, done=0)
    display.show_step(REPORT)
    assert display.text(REPORT).endswith("5:33:18 left")


def test_a_line_that_a_killed_run_left_half_is_ended_and_passed_over(tmp_path):
    metric_log = MetricLog(tmp_path / "log.jsonl")
    metric_log.end_last_line()
    metric_log.write("train", step=0)
    with open(metric_log.path, "a") as file:
        file.write('{"event": "tra')
    metric_log.end_last_line()
    metric_log.write("train", step=1)
    metric_log.end_last_line()
    assert [event["step"] for event in read_metric_log(metric_log.path)] == [0, 1]


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


def test_auto_finds_the_last_unfinished_run(tmp_path):
    assert unfinished_run(tmp_path) is None
    datasets = {"s": {"train": DummyDataset(4)}}
    for name in ("finished", "other"):
        config = dummy_config(tmp_path, job_id=name)
        RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), datasets).train()
    assert is_finished(tmp_path / "other")
    log = tmp_path / "other" / "log.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if "finished" not in line))
    (tmp_path / "empty").mkdir()
    assert unfinished_run(tmp_path) == "other"
    runner = RunnerSam(dummy_config(tmp_path, resume="auto"), MultiImageCaptioningTask(), DummyModel(), datasets)
    assert runner.output_dir == tmp_path / "other"
    runner.train()
    assert unfinished_run(tmp_path) is None
    fresh = RunnerSam(dummy_config(tmp_path, resume="auto"), MultiImageCaptioningTask(), DummyModel(), datasets)
    assert fresh.output_dir.name not in ("finished", "other", "empty")
