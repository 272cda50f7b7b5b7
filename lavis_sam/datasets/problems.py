"""What reading found: the whole samples, every problem of the others, and what was corrected on the way."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamDataError

# How many problems a message spells out; the counts by kind cover the rest.
_SHOWN_PROBLEMS = 10
# How many examples of each kind a table shows.
_SHOWN_EXAMPLES = 3
_SHOWN_CHARACTERS = 80


class DamagedSampleError(SamDataError):
    """A sample in a shard is not what was written there; a training run passes over it and counts it."""


@dataclass(frozen=True)
class AnnotationProblem:
    """One thing wrong with one record.

    Attributes:
        kind: A short class such as "missing image"; problems are counted by it.
        place: File and record, with the sample's id where it is known.
        message: Value found and value wanted.
        whole_file: The file itself cannot be read, so nobody knows how many records are lost.
        drops: Whether a record is dropped for it; damage of a shard as a whole is reported beside that of its samples.
    """

    kind: str
    place: str
    message: str
    whole_file: bool = False
    drops: bool = True

    def __post_init__(self) -> None:
        # Names on a disk may be bytes that are no text; a report must be printable whatever it reports.
        for name in ("place", "message"):
            printable = getattr(self, name).encode("utf-8", "backslashreplace").decode("utf-8")
            object.__setattr__(self, name, printable)


@dataclass(frozen=True)
class ProblemRow:
    """A line of the table of problems: a kind, how often, in how many records, and the first examples."""

    kind: str
    count: int
    records: int
    examples: tuple[str, ...]


@dataclass
class AnnotationReport:
    """What reading found.

    Attributes:
        samples: The whole samples, in the order of the files.
        problems: Every problem of every other record.
        repairs: What was corrected without losing a sample, by description: an empty sentence left out, two annotators'
            entries of one pair joined.
        splits: The split of each of `samples`, where the release says so; empty for the unified format.
    """

    samples: list[MultiImageSample] = field(default_factory=list)
    problems: list[AnnotationProblem] = field(default_factory=list)
    repairs: Counter[str] = field(default_factory=Counter)
    splits: list[str | None] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """How many records have a problem and are therefore not among the samples."""
        return _records(self.problems)

    @property
    def usable(self) -> bool:
        """Whether a run may go on with what is left: there are samples, and every file could be read."""
        return bool(self.samples) and not any(problem.whole_file for problem in self.problems)

    def require_samples(self, place: str) -> None:
        """Add a problem where nothing was found at `place`, and nothing wrong either."""
        if not self.samples and not self.problems:
            message = "found 0 samples, wanted at least one"
            self.problems.append(AnnotationProblem("no samples", place, message, whole_file=True))

    def rows(self) -> list[ProblemRow]:
        """Return the table of problems, the most frequent kind first."""
        by_kind: dict[str, list[AnnotationProblem]] = {}
        for problem in self.problems:
            by_kind.setdefault(problem.kind, []).append(problem)
        return [
            ProblemRow(
                kind,
                len(problems),
                _records(problems),
                tuple(f"{problem.place}: {problem.message}" for problem in problems[:_SHOWN_EXAMPLES]),
            )
            for kind, problems in sorted(by_kind.items(), key=lambda item: -len(item[1]))
        ]

    def lines(self) -> list[str]:
        """Return a line for each kind of problem: how many samples were dropped for it, and the first example."""
        return [
            f"dropped {row.records} sample(s): {row.kind}, such as {row.examples[0]}"
            if row.records
            else f"{row.count} x {row.kind}, such as {row.examples[0]}"
            for row in self.rows()
        ]

    def summary(self) -> str:
        """Return counts by kind and the first problems, for an error message or a log."""
        counts = Counter(problem.kind for problem in self.problems)
        lines = [f"  {count} x {kind}" for kind, count in counts.most_common()]
        lines += [f"  {p.place}: {p.kind}: {p.message}" for p in self.problems[:_SHOWN_PROBLEMS]]
        if len(self.problems) > _SHOWN_PROBLEMS:
            lines.append(f"  … and {len(self.problems) - _SHOWN_PROBLEMS} more")
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return one sentence: how many samples are whole, how many were dropped and why, what was corrected."""
        parts = [f"{len(self.samples)} whole sample(s)"]
        rows = self.rows()
        if self.dropped:
            reasons = ", ".join(f"{row.records} x {row.kind}" for row in rows if row.records)
            parts.append(f"{self.dropped} dropped ({reasons})")
        parts += [f"{row.count} x {row.kind}" for row in rows if not row.records]
        parts += [f"{count} x {what}" for what, count in self.repairs.most_common()]
        return "; ".join(parts) + "."

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and the table as plain values, for JSON; the samples themselves are skipped."""
        rows = [
            {"kind": row.kind, "count": row.count, "records": row.records, "examples": list(row.examples)}
            for row in self.rows()
        ]
        return {
            "samples": len(self.samples),
            "dropped": self.dropped,
            "problems": rows,
            "repairs": dict(self.repairs.most_common()),
        }


def _records(problems: Iterable[AnnotationProblem]) -> int:
    """Return how many records are dropped for these problems."""
    return len({problem.place for problem in problems if problem.drops})


def names(paths: Iterable[object]) -> str:
    """Return file names for a message."""
    return ", ".join(map(str, paths))


def shown(value: Any) -> str:
    """Return a value for a message: its `repr`, cut off where it gets long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
