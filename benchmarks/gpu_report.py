"""What gpu.py has measured so far, as JSON and as a Markdown table; and the time that it may take."""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lavis_sam.files import write_json, write_text

NO_GPU = "No GPU took part: these figures say that the command runs. Figures of a GPU are open."


class TimeIsOverError(Exception):
    """The time that the whole command may take is over."""


class Report:
    """What is measured so far, as JSON and as a table; written anew and whole each time.

    Attributes:
        results: Rows, in the order in which they were measured.
        missing: What was not measured -> why.
    """

    def __init__(self, out: Path, card: str, head: dict[str, Any]) -> None:
        self._base = out / f"gpu_{re.sub('[^a-z0-9]+', '_', card.lower()).strip('_')}"
        self._head, self._start = head, time.perf_counter()
        self.results: list[dict[str, Any]] = []
        self.missing: dict[str, str] = {}

    def add(self, section: str, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a section."""
        self.results += [{"section": section, **row} for row in rows]
        self.write()

    def seconds(self) -> float:
        """What the command has taken."""
        return time.perf_counter() - self._start

    def as_dict(self) -> dict[str, Any]:
        """All of it."""
        cost = {"seconds": round(self.seconds(), 1)}
        return {**self._head, "cost": cost, "results": self.results, "missing": self.missing}

    def write(self) -> None:
        """Replace both files."""
        write_json(Path(f"{self._base}.json"), self.as_dict())
        write_text(Path(f"{self._base}.md"), self.table())

    def table(self) -> str:
        """The figures in Markdown."""
        machine = self._head["machine"]
        lines = [f"# {machine['device']}", ""]
        lines += [] if machine["is_gpu"] else [f"{NO_GPU}", ""]
        lines += [
            f"`benchmarks/gpu.py`, {self.seconds():.0f} s in all; {machine['precision']}, torch {machine['torch']}, "
            f"transformers {machine['transformers']}, random weights. Planned figures are those of `lavis-sam plan`.",
            "",
        ]
        for section in dict.fromkeys(row["section"] for row in self.results):
            rows = [row for row in self.results if row["section"] == section]
            columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "section"]
            lines += [f"## {section}", "", _line(columns), _line(["---"] * len(columns))]
            lines += [_line([_shown(row.get(name)) for name in columns]) for row in rows]
            lines.append("")
        if self.missing:
            lines += ["## Not measured", "", *(f"- {name}: {why}" for name, why in self.missing.items()), ""]
        return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def time_limit(limit: float) -> Iterator[None]:
    """Raise `TimeIsOverError` in the block when its seconds are over."""

    def stop(*_: Any) -> None:
        raise TimeIsOverError(f"the {limit:g} s of --seconds are over")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
