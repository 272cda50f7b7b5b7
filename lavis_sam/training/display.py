"""The progress of an epoch: a live line on a terminal, plain log lines elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings

if TYPE_CHECKING:
    from lavis_sam.training.epoch_trainer import StepReport

logger = logging.getLogger(__name__)


class Display:
    """Shows loss, rate, samples a second, wait for data, memory and time left, on rank 0 alone."""

    def __init__(
        self, epoch: int, settings: RunSettings, steps: int, *, done: int, console: Console | None = None
    ) -> None:
        """Set up an epoch.

        Args:
            epoch: From 0.
            settings: `max_epoch` and `log_freq`.
            steps: Optimizer steps of an epoch (of a stream: an estimate).
            done: Those that a continued run has already made of this one.
            console: Where to draw; by default standard error.
        """
        self.epoch, self.settings, self.steps, self.done = epoch, settings, steps, done
        self.first, self.seconds, self.data_seconds, self.samples = done, 0.0, 0.0, 0
        console = console or Console(file=sys.stderr)
        self.live: Progress | None = None
        if console.is_terminal and distributed.is_main_process():
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[text]}"))
            self.live = Progress(*columns, console=console, transient=True, auto_refresh=False)
            title = f"epoch {epoch + 1}/{settings.max_epoch}"
            self.bar: Any = self.live.add_task(title, total=steps, completed=done, text="")

    def __enter__(self) -> "Display":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, report: "StepReport") -> None:
        """Take note of a step, and show it when it is time to."""
        self.done += 1
        self.seconds += report.seconds
        self.data_seconds += report.data_seconds
        self.samples += report.samples
        text = self.text(report)
        if self.live is not None:
            self.live.update(self.bar, completed=min(self.done, self.steps), text=text, refresh=True)
        if self.live is None and ((self.done - 1) % self.settings.log_freq == 0 or self.done == self.steps):
            logger.info("epoch %d/%d  %s", self.epoch + 1, self.settings.max_epoch, text)

    def text(self, report: "StepReport") -> str:
        """One line about a step; rates are means over the steps that this display has seen."""
        seconds = max(self.seconds, 1e-9)
        seen = max(self.done - self.first, 1)
        left = (max(self.steps - self.done, 0) + self.steps * (self.settings.max_epoch - 1 - self.epoch)) * (
            seconds / seen
        )
        parts = [
            f"step {self.done}/{self.steps}",
            f"loss {report.loss:.4f}",
            f"lr {report.lr:.2e}",
            f"{self.samples / seconds:.1f} samples/s",
            f"data {100 * self.data_seconds / seconds:.0f} %",
            f"{report.memory / 2**30:.1f} GiB",
            f"{_clock(left)} left",
        ]
        return "  ".join(parts)


def _clock(seconds: float) -> str:
    hours = f"{int(seconds // 3600)}:" if seconds >= 3600 else ""
    return hours + time.strftime("%M:%S", time.gmtime(seconds))
