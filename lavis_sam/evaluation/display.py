"""How far an evaluation is: a live line on a terminal, plain log lines elsewhere; on rank 0 alone."""

import logging
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lavis_sam import distributed

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


class EvaluationProgress:
    """Shows how many samples are answered, of how many, how fast, and how long the others will take."""

    def __init__(self, title: str, total: int, *, done: int = 0, console: Console | None = None) -> None:
        """Set up.

        Args:
            title: The data set.
            total: Samples of it.
            done: Those that were answered before.
            console: Where to draw; by default standard error.
        """
        self._title, self._total, self._first, self._done = title, total, done, done
        self._console = console or Console(file=sys.stderr)
        self._started = self._said = time.monotonic()
        self._live: Progress | None = None
        self._bar: Any = None

    def __enter__(self) -> "EvaluationProgress":
        if not distributed.is_main_process():
            return self
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
            )
            self._live = Progress(*columns, console=self._console, transient=True)
            self._bar = self._live.add_task(self._title, total=self._total, completed=self._done, rate="")
            self._live.start()
        if self._done:
            logger.info("%s: %d of %d samples were answered before", self._title, self._done, self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if distributed.is_main_process():
            logger.info("%s", self.text())

    def show(self, done: int) -> None:
        """Take note that `done` samples are answered."""
        self._done = done
        if self._live is not None:
            self._live.update(self._bar, completed=done, rate=self._rate())
        elif distributed.is_main_process() and time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            logger.info("%s", self.text())

    def text(self) -> str:
        """One line about how far it is."""
        return f"{self._title}: {self._done} of {self._total} samples answered  {self._rate()}".rstrip()

    def _rate(self) -> str:
        seconds = time.monotonic() - self._started
        new = self._done - self._first
        return f"{new / seconds:.2f} samples/s" if new and seconds > 0 else ""
