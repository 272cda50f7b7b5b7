"""Who makes the parts of a run.

local          this process, or a pool of processes on this machine
cluster        workers of a Ray cluster
model_actors   stages whose models are in processes of their own on that cluster

A runner is handed parts that know nothing of one another and may make them in any order, anywhere, more than once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol


@dataclass(frozen=True)
class PartTask:
    """A batch of places of the data set, to be filled by one worker.

    Attributes:
        round: 0 for the first pass, then one for each replacement of near duplicates.
        slots: (place, number of the first try, kind) of each.
        isolate: Make one sample at a time and announce each try, so that a crash can be traced to it.
        suspected: (place, try) of tries during which a worker died once.
        crashed: (place, try) of tries during which two workers died; they are rejected unseen.
    """

    round: int
    number: int
    slots: tuple[tuple[int, int, str], ...]
    isolate: bool = False
    suspected: frozenset[tuple[int, int]] = frozenset()
    crashed: frozenset[tuple[int, int]] = frozenset()

    @property
    def key(self) -> str:
        """The part's name in the work folder."""
        return f"{self.round}-{self.number:06d}"

    def after_crash(self, trying: tuple[int, int] | None) -> "PartTask":
        """Return the same part for another go."""
        if trying is None:
            return replace(self, isolate=True)
        if trying in self.suspected:
            return replace(self, isolate=True, crashed=self.crashed | {trying})
        return replace(self, isolate=True, suspected=self.suspected | {trying})


@dataclass(frozen=True)
class Progress:
    """Something happened in a worker.

    Attributes:
        stage: The stage that was finished, or "accepted" for finished samples.
    """

    stage: str
    passed: int
    rejected: int


EventSink = Callable[[Progress | tuple[int, int]], None]


class PartFunction(Protocol):
    """Makes one part and leaves it in the work folder."""

    def __call__(self, task: PartTask, emit: EventSink) -> None:
        """Make it; `emit` takes progress, and announcements of tries as (slot, number)."""
        ...


class Job(Protocol):
    """What is sent to a worker once: everything that it needs to make parts. Has to survive pickling."""

    def prepare(self) -> PartFunction:
        """Build the backends."""
        ...


# Asks a backend that is in another process: its version here, the method's name and the requests -> the answers.
AskElsewhere = Callable[[str, str, Sequence[Any]], Any]


class SeparableJob(Job, Protocol):
    """A job whose stages may have their models in other processes."""

    def prepare(self, elsewhere: Mapping[str, AskElsewhere] | None = None) -> PartFunction:
        """Build the backends; those of the stages in `elsewhere` are asked through it."""
        ...

    def backend(self, stage: str) -> Any:
        """Build the backend of one stage; None where the stage does nothing."""
        ...


class Runner(Protocol):
    """Has all parts made."""

    def run(self, job: Job, tasks: Iterable[PartTask], on_event: Callable[[Progress], None]) -> None:
        """Return when every part is there.

        Raises:
            SamError: Something that no other try would help; finished parts stay.
            OSError: The disk is full or gone.
        """
        ...
