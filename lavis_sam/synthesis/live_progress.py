"""How far a run is: how many samples there are, how many drafts passed each stage, and how fast it goes.

The display is that of the whole package (`lavis_sam/progress.py`); counts and text are the synthesis's own.
"""

import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lavis_sam.progress import ProgressDisplay, clock
from lavis_sam.synthesis.records import STAGES
from lavis_sam.synthesis.runners import Progress
from lavis_sam.terminal import echo

_PLAIN_SECONDS = 10.0


def _write_line(line: str) -> None:
    echo(line, err=True)


class RunProgress:
    """Count what a run reports, and show it on standard error."""

    def __init__(
        self,
        wanted: int,
        *,
        active: bool = True,
        seconds: float = _PLAIN_SECONDS,
        write: Callable[[str], None] = _write_line,
    ) -> None:
        """Set up; nothing is shown before the `with` block.

        Args:
            wanted: Samples of the whole run.
            active: Whether anything is shown at all.
            seconds: Between two plain lines, where standard error is no terminal.
            write: Takes a plain line.
        """
        self.wanted = wanted
        self.accepted = 0
        self.rejected: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self._made = 0
        self._began = time.monotonic()
        self._display = ProgressDisplay("samples", wanted, active=active, seconds=seconds, write=write)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)

    def found(self, accepted: int) -> None:
        """Count samples that are there from an earlier run."""
        self.accepted += accepted
        self._show()

    def replace(self, samples: int) -> None:
        """Count samples that turned out to be near duplicates."""
        self.accepted -= samples
        self.rejected["duplicates"] += samples
        self._show()

    def watch(self, event: Progress) -> None:
        """Count what a worker has done."""
        if event.stage == "accepted":
            self.accepted += event.passed
            self._made += event.passed
            self.rejected["worker"] += event.rejected
        else:
            self.passed[event.stage] += event.passed
            self.rejected[event.stage] += event.rejected
        self._show()

    def say(self, message: str) -> None:
        """Show the counts as they are now, and a step that has no numbers."""
        self._show(is_due=True)
        self._display.say(message)

    def text(self) -> str:
        """Return the line: samples, speed, time left, drafts that passed each stage, what was rejected."""
        speed = self._made / max(time.monotonic() - self._began, 1e-3)
        stages = " · ".join(f"{stage} {self.passed[stage]}" for stage in STAGES if self.passed[stage])
        lost = ", ".join(f"{stage} {count}" for stage, count in self.rejected.items() if count)
        parts = [f"{self.accepted}/{self.wanted} samples", f"{speed:.1f}/s"]
        if speed and self.accepted < self.wanted:
            parts.append(f"{clock((self.wanted - self.accepted) / speed)} left")
        return "  ".join(parts) + (f" | {stages}" if stages else "") + (f" | rejected: {lost}" if lost else "")

    def _show(self, *, is_due: bool | None = None) -> None:
        self._display.show(self.accepted, self.text(), is_due=is_due)
