"""The live line: how many samples there are, how many drafts passed each stage, and how fast it goes.

On a terminal it is one block that is drawn again and again; elsewhere a plain line every few seconds.
"""

import sys
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from lavis_sam.synthesis.records import STAGES
from lavis_sam.synthesis.runners import Progress

if TYPE_CHECKING:
    from rich.live import Live

_PLAIN_SECONDS = 10.0
_MINUTE = 60


class ProgressLine:
    """What a run tells about itself. Subclasses show it."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.accepted = 0
        self.rejected: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self._made = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Start the clock."""
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""

    def found(self, accepted: int) -> None:
        """So many samples are there from an earlier run."""
        self.accepted += accepted
        self.show()

    def replace(self, samples: int) -> None:
        """So many samples turned out to be near duplicates."""
        self.accepted -= samples
        self.rejected["duplicates"] += samples
        self.show()

    def watch(self, event: Progress) -> None:
        """A worker has done something."""
        if event.stage == "accepted":
            self.accepted += event.passed
            self._made += event.passed
            self.rejected["worker"] += event.rejected
        else:
            self.passed[event.stage] += event.passed
            self.rejected[event.stage] += event.rejected
        self.show()

    def text(self) -> str:
        """The line."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        speed = self._made / seconds
        left = (self.wanted - self.accepted) / speed if speed else None
        stages = " · ".join(f"{stage} {self.passed[stage]}" for stage in STAGES if self.passed[stage])
        lost = ", ".join(f"{stage} {count}" for stage, count in self.rejected.items() if count)
        parts = [f"{self.accepted}/{self.wanted} samples", f"{speed:.1f}/s"]
        if left is not None and self.accepted < self.wanted:
            parts.append(f"{int(left) // _MINUTE}:{int(left) % _MINUTE:02d} left")
        return "  ".join(parts) + (f" | {stages}" if stages else "") + (f" | rejected: {lost}" if lost else "")

    def show(self) -> None:
        """Something has changed."""

    def say(self, message: str) -> None:
        """A step that has no numbers."""


class NoProgress(ProgressLine):
    """Says nothing."""

    def __init__(self) -> None:
        super().__init__(0)


class PlainProgress(ProgressLine):
    """A line every few seconds, for logs."""

    def __init__(self, wanted: int, stream: TextIO | None = None, seconds: float = _PLAIN_SECONDS) -> None:
        super().__init__(wanted)
        self._stream, self._seconds, self._last = stream or sys.stderr, seconds, 0.0

    def show(self) -> None:
        """Write the line when its time has come."""
        if time.monotonic() - self._last >= self._seconds:
            self._write(self.text())

    def say(self, message: str) -> None:
        """Write the line as it is now, and the message."""
        self._write(self.text())
        self._write(message)

    def _write(self, line: str) -> None:
        self._last = time.monotonic()
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveProgress(ProgressLine):
    """The same text, drawn in place on a terminal."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Take the terminal's last line."""
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=4)
        self._live.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def show(self) -> None:
        """Draw."""
        from rich.text import Text

        if self._live is not None:
            self._live.update(Text(self.text()))

    def say(self, message: str) -> None:
        """Draw with a message below."""
        from rich.text import Text

        if self._live is not None:
            self._live.update(Text(f"{self.text()}\n{message}"))


def progress_for(wanted: int) -> ProgressLine:
    """What suits standard error."""
    return LiveProgress(wanted) if sys.stderr.isatty() else PlainProgress(wanted)
