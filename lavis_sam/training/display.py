"""The progress of an epoch: a live line on a terminal, plain log lines elsewhere."""

import logging

from rich.console import Console

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.progress import ProgressDisplay, clock
from lavis_sam.training.steps import StepReport

logger = logging.getLogger(__name__)


class EpochDisplay(ProgressDisplay):
    """Shows loss, rate, samples a second, wait for data, memory and time left, on rank 0 alone."""

    def __init__(
        self, epoch: int, settings: RunSettings, steps: int, *, done: int, console: Console | None = None
    ) -> None:
        """Set up an epoch.

        Args:
            epoch: From 0.
            settings: `max_epoch` and `log_freq`.
            steps: Optimizer steps of an epoch (of a stream: an estimate).
            done: Those that a resumed run has already made of this one.
            console: Where to draw; by default standard error.
        """
        title = f"epoch {epoch + 1}/{settings.max_epoch}"
        super().__init__(
            title,
            steps,
            done=done,
            active=distributed.is_main_process(),
            write=lambda text: logger.info("%s  %s", title, text),
            console=console,
        )
        self.epoch, self.settings, self.steps, self.done = epoch, settings, steps, done
        self.first, self.seconds, self.data_seconds, self.samples = done, 0.0, 0.0, 0

    def show_step(self, report: StepReport) -> None:
        """Take note of a step, and show it when it is time to."""
        self.done += 1
        self.seconds += report.seconds
        self.data_seconds += report.data_seconds
        self.samples += report.samples
        is_due = (self.done - 1) % self.settings.log_freq == 0 or self.done == self.steps
        self.show(self.done, self.text(report), is_due=is_due)

    def text(self, report: StepReport) -> str:
        """Return one line about a step; rates are means over the steps that this display has seen."""
        seconds = max(self.seconds, 1e-9)
        left = max(self.steps - self.done, 0) + self.steps * (self.settings.max_epoch - 1 - self.epoch)
        losses = ", ".join(f"{name} {mean:.4f}" for name, mean in report.losses.items())
        parts = [
            f"step {self.done}/{self.steps}",
            f"loss {report.loss:.4f}" + (f" ({losses})" if losses else ""),
            f"lr {report.lr:.2e}",
            f"{self.samples / seconds:.1f} samples/s",
            f"data {100 * self.data_seconds / seconds:.0f} %",
            f"{report.memory / 2**30:.1f} GiB",
            f"{clock(left * seconds / max(self.done - self.first, 1))} left",
        ]
        return "  ".join(parts)
