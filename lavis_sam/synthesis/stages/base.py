"""What the stages share: batches in which one failure is one failure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.synthesis.records import Draft, Rgb

Request = TypeVar("Request")
Answer = TypeVar("Answer")

# A missing package or file of the backend itself, or damaged weights, would fail every sample; such errors end the run.
FATAL = (SamConfigurationError, SamCheckpointError, MemoryError)


@dataclass(frozen=True)
class Failure:
    """A request that raised.

    Attributes:
        image: Something to look at, where there is something.
    """

    reason: str
    message: str
    image: Rgb | None = None

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Return the record of an exception."""
        return cls(type(error).__name__, str(error) or "no message")


class Stage(Protocol):
    """One step of the pipeline."""

    name: str

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Take each draft one step further, or say why it got no further; same order, same length."""
        ...


def answer_all(
    call: Callable[[Sequence[Request]], Sequence[Answer | SamDataError]], requests: Sequence[Request]
) -> list[Answer | Failure]:
    """Return a backend's answers; where the batch as a whole raises, each request is tried alone.

    Args:
        requests: Any number of requests; none gives no call.

    Raises:
        SamConfigurationError: The backend cannot work at all.
        SamCheckpointError: Its weights are not whole.
    """
    if not requests:
        return []
    try:
        answers = call(requests)
        if len(answers) != len(requests):
            raise SamDataError(f"the backend gave {len(answers)} answers to {len(requests)} requests")
        return [Failure.of(answer) if isinstance(answer, SamDataError) else answer for answer in answers]
    except FATAL:
        raise
    except Exception as error:
        if len(requests) == 1:
            return [Failure.of(error)]
    return [answer for request in requests for answer in answer_all(call, [request])]


def ask_each(
    drafts: Sequence[Draft | Failure],
    call: Callable[[Sequence[Request]], Sequence[Answer]],
    request: Callable[[Draft], Request],
    merge: Callable[[Draft, Answer | Failure], Draft | Failure],
) -> list[Draft | Failure]:
    """Ask a backend once for each draft that got this far, in one batch; failures stay where they are."""
    open_ = [draft for draft in drafts if isinstance(draft, Draft)]
    answers = iter(answer_all(call, [request(draft) for draft in open_]))
    return [merge(draft, next(answers)) if isinstance(draft, Draft) else draft for draft in drafts]


def one_by_one(call: Callable[[Draft], Draft], drafts: Sequence[Draft]) -> list[Draft | Failure]:
    """Do a step that is no backend, on every draft by itself; see `answer_all`."""
    return answer_all(lambda batch: [call(draft) for draft in batch], drafts)


def with_scores(draft: Draft, scores: Mapping[str, Sequence[float]]) -> Draft:
    """Return the draft with measurements added to what it has."""
    merged = dict(draft.scores)
    for name, values in scores.items():
        merged[name] = merged.get(name, ()) + tuple(float(value) for value in values)
    return replace(draft, scores=merged)
