"""The progress line of an epoch, on a terminal and without one."""

import io
import logging

from rich.console import Console

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.training.display import EpochDisplay
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
