"""How far something long is: a live line on a terminal, plain lines now and then elsewhere."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, track
from rich.text import Text

from lavis_sam.terminal import printable, printable_console

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_SECONDS_BETWEEN_LINES = 10.0
# Characters of the bar, and of a terminal that has no room for it.
_BAR, _NARROW = 20, 60
_LEFT = " left"


class ProgressDisplay:
    """Show a title, a bar and a text about the work done; on standard error, by one process.

    Where standard error is no terminal, `write` gets the text every few seconds instead.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        done: int = 0,
        active: bool = True,
        seconds: float = _SECONDS_BETWEEN_LINES,
        write: Callable[[str], None] = logger.info,
        console: Console | None = None,
    ) -> None:
        """Set up; nothing is drawn before the `with` block.

        Args:
            title: What stands before the bar.
            total: Steps or items of the whole work.
            done: Those that were done before.
            active: Whether this process shows anything.
            seconds: Between two plain lines.
            write: Takes a plain line.
            console: Where to draw; by default standard error.
        """
        console, title = console or printable_console(file=sys.stderr), printable(title)
        self._active, self._seconds, self._write = active, seconds, write
        self._last = time.monotonic()
        self._live: Progress | None = None
        if active and console.is_terminal:
            bar = _BAR if console.width >= _NARROW else _BAR // 4
            # A text may hold [brackets], which are no style.
            title_, text = (TextColumn(part, markup=False) for part in ("{task.description}", "{task.fields[text]}"))
            columns = (title_, BarColumn(bar_width=bar), text)
            self._console, self._taken = console, len(title) + bar + len(columns) - 1  # a space between columns
            self._live = Progress(*columns, console=console, transient=True, auto_refresh=False)
            self._bar: Any = self._live.add_task(title, total=total, completed=min(done, total), text="")
            self._total = total

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, done: int, text: str, *, is_due: bool | None = None) -> None:
        """Show that `done` steps are done.

        Args:
            done: Of the total.
            text: What stands behind the bar, and the plain line.
            is_due: Whether a plain line is due; None lets the clock decide.
        """
        if self._live is not None:
            text = fitted(printable(text), self._console.width - self._taken)
            self._live.update(self._bar, completed=min(done, self._total), text=text, refresh=True)
        elif self._active and (time.monotonic() - self._last >= self._seconds if is_due is None else is_due):
            self._last = time.monotonic()
            self._write(text)

    def say(self, message: str) -> None:
        """Show a message that has no numbers, above the live line or as a plain line."""
        if self._live is not None:
            self._live.console.print(Text(printable(message)))
        elif self._active:
            self._write(message)


def tracked(items: Iterable[_Item], title: str, total: int, *, silent: bool = False) -> Iterator[_Item]:
    """Yield the items, with a progress bar on a terminal that goes when they are done."""
    console = printable_console(stderr=True)
    silent = silent or not console.is_terminal
    yield from track(items, escape(printable(title)), total, console=console, disable=silent, transient=True)


def fitted(text: str, width: int) -> str:
    """Leave parts of a line out, the last ones first, until it fits; how much is done and how long it takes stay.

    Args:
        text: Parts that two spaces, a bar or an opening bracket separate; what ends in `left` is the time left.
        width: Of the place for it, in characters.
    """
    first, *others = re.split(r"(?=  | \| | \()", text)
    while others and len(first) + sum(map(len, others)) > width:
        droppable = [number for number, part in enumerate(others) if not part.endswith(_LEFT)]
        if not droppable:  # the time left says more than the count, which the bar shows
            return others[-1].strip()
        del others[droppable[-1]]
    return "".join([first, *others])


def clock(seconds: float) -> str:
    """Return a duration as 05:10 or 1:05:10."""
    hours = f"{int(seconds // 3600)}:" if seconds >= 3600 else ""
    return hours + time.strftime("%M:%S", time.gmtime(seconds))
