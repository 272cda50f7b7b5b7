"""The thread that owns the model: what may share a batch is answered together, streams are written in turns.

A text without sampling does not depend on the rest of its batch, so that batching changes no answer. Sampled texts use
the numbers of their own seed, and go alone.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.serving.answers import Answer, Asked, answer, stream

logger = logging.getLogger(__name__)

Event = str | list[Answer] | Exception
"""What a job hears: pieces of a text; at the end its answers, or what went wrong."""


@dataclass(eq=False)
class Job:
    """A request on its way through the model.

    Attributes:
        deliver: Called in the model's thread, with every event; must return at once.
        is_streamed: Whether pieces are wanted.
        is_cancelled: Set when nobody waits any longer.
    """

    asked: Asked
    deliver: Callable[[Event], None]
    is_streamed: bool = False
    is_cancelled: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """A queue, and the thread that empties it."""

    def __init__(
        self,
        model: SemanticAlignment,
        *,
        batch_size: int = 8,
        gather_seconds: float = 0.005,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Start the thread.

        Args:
            model: The model, which nobody else uses meanwhile.
            batch_size: The most requests in a batch, and the most streams at a time.
            gather_seconds: How long a request waits for others to share its batch.
            on_batch: Called with the size of each batch that was answered; after an error each request is one.
        """
        self._model, self._batch_size, self._gather_seconds = model, batch_size, gather_seconds
        self._on_batch = on_batch
        self._whole: deque[Job] = deque()
        self._streamed: deque[Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        return len(self._whole) + len(self._streamed)

    def is_alive(self) -> bool:
        """Return whether jobs will be answered."""
        return self._thread.is_alive() and not self._is_closed

    def submit(self, job: Job) -> None:
        """Take a job; its events come from the model's thread."""
        with self._changed:
            (self._streamed if job.is_streamed else self._whole).append(job)
            self._changed.notify()

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        streams: list[tuple[Job, Generator[str, None, Answer]]] = []
        while True:
            with self._changed:
                while not (self.waiting or streams or self._is_closed):
                    self._changed.wait()
                if not (self.waiting or streams):
                    return
                if self._whole and not streams:
                    self._gather()
                batch = self._take_batch()
                while self._streamed and len(streams) < self._batch_size:
                    job = self._streamed.popleft()
                    streams.append((job, stream(self._model, job.asked)))
            if batch:
                self._answer(batch)
            streams = [(job, pieces) for job, pieces in streams if self._step(job, pieces)]

    def _gather(self) -> None:
        """Wait a moment for a full batch."""
        deadline = time.monotonic() + self._gather_seconds
        while len(self._whole) < self._batch_size and not self._is_closed:
            left = deadline - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                return

    def _take_batch(self) -> list[Job]:
        """Take the first job, and those behind it that are decoded alike."""
        self._whole = deque(job for job in self._whole if not job.is_cancelled.is_set())
        if not self._whole:
            return []
        first = self._whole.popleft()
        decoding = first.asked.decoding
        batch = [first]
        if not decoding.use_nucleus_sampling:
            alike = [job for job in self._whole if job.asked.decoding == decoding]
            batch += alike[: self._batch_size - 1]
            self._whole = deque(job for job in self._whole if job not in batch)
        return batch

    def _answer(self, jobs: list[Job]) -> None:
        events: Sequence[Event]
        try:
            events = answer(self._model, [job.asked for job in jobs])
        except Exception as error:
            if len(jobs) > 1:  # one of them is too much; the others shall not suffer
                for job in jobs:
                    self._answer([job])
                return
            logger.warning("a request could not be answered: %s: %s", type(error).__name__, error)
            events = [error]
        self._on_batch(len(jobs))
        for job, event in zip(jobs, events, strict=True):
            job.deliver(event)

    def _step(self, job: Job, pieces: Generator[str, None, Answer]) -> bool:
        """Write a stream's next piece; say whether it goes on."""
        if job.is_cancelled.is_set():
            pieces.close()
            return False
        try:
            job.deliver(next(pieces))
        except StopIteration as end:
            job.deliver([end.value])
            return False
        except Exception as error:
            logger.warning("a stream ended: %s: %s", type(error).__name__, error)
            job.deliver(error)
            return False
        return True
