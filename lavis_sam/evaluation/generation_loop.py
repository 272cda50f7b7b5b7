"""The generation loop: every batch answered once and kept; errors and stops are raised on every rank."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from lavis_sam import distributed
from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.evaluation.batches import Batch, EvaluationLoader
from lavis_sam.evaluation.prediction_log import PredictionLog, Record, open_prediction_log
from lavis_sam.memory import first_line, is_out_of_memory, naming_samples
from lavis_sam.progress import ProgressDisplay, clock
from lavis_sam.signals import RunStopped, StopRequest

logger = logging.getLogger(__name__)

# How many batches a process answers before it asks how the others are. Seldom, so that nobody waits for one long
# answer; often enough that an error or a signal anywhere ends all of them soon, far within the time limit of a wait.
BATCHES_BETWEEN_EXCHANGES = 4
REMEDY = (
    "Use a smaller run.decoding.num_beams or run.decoding.max_length, or a smaller precision: a batch of one sample is "
    "the smallest there is. What was answered so far is kept, and starting again continues."
)

Answer = Callable[[Any], list[Record]]


class _Progress(ProgressDisplay):
    """How many samples are answered, how fast, and how long the others will take; on rank 0."""

    def __init__(self, title: str, total: int, *, done: int, console: Console | None) -> None:
        self._title, self._samples, self._first, self._done = title, total, done, done
        self._started = time.monotonic()
        super().__init__(
            title, total, done=done, active=distributed.is_main_process(), write=self._log, console=console
        )

    def __enter__(self) -> Self:
        if self._done and distributed.is_main_process():
            logger.info("%s: %d of %d samples were answered before", self._title, self._done, self._samples)
        return super().__enter__()

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        if distributed.is_main_process():
            self._log(self._text())

    def answered(self, done: int) -> None:
        """Show that `done` samples are answered."""
        self._done = done
        self.show(done, self._text())

    def _text(self) -> str:
        text = f"{self._done} of {self._samples} samples answered"
        rate = (self._done - self._first) / max(time.monotonic() - self._started, 1e-9)
        return f"{text}  {rate:.2f} samples/s  {clock((self._samples - self._done) / rate)} left" if rate else text

    def _log(self, text: str) -> None:
        logger.info("%s: %s", self._title, text)


def generate_records(
    loader: EvaluationLoader,
    answer: Answer,
    *,
    folder: Path | None = None,
    fingerprint: Mapping[str, Any] | None = None,
    restart: bool = False,
    stop: StopRequest | None = None,
    title: str = "evaluation",
    console: Console | None = None,
) -> list[Record]:
    """Have every sample of a data set answered once; all processes together.

    Args:
        answer: A batch's content -> one record for each of its samples, in order.
        folder: Where the answers are kept as they come, and where earlier ones are; None keeps nothing.
        fingerprint: What the answers depend on; goes with `folder`.
        restart: Throw away earlier answers that depend on something else; otherwise they are refused.

    Returns:
        On rank 0 a record for every sample, with its `index`, in the data set's order; elsewhere an empty list.

    Raises:
        RunStopped: On every process, when one of them was asked to stop.
        SamError: On every process, when one of them met a sample that cannot be used, or ran out of memory; the message
            names the sample. What was answered before stays in the folder.
        OtherAnswersError: See `open_prediction_log`.
    """
    count = len(loader.dataset)
    log: PredictionLog | None = None
    earlier: dict[int, Record] = {}
    if folder is not None:
        log, earlier = open_prediction_log(folder, fingerprint or {}, count=count, restart=restart)
    own: list[Record] = []
    try:
        with _Progress(title, count, done=len(earlier), console=console) as progress:
            _answer_share(loader, answer, own, set(earlier), log, stop, progress)
    finally:
        if log is not None:
            log.close()
    by_process = distributed.gather_on_main(own)
    if by_process is None:
        return []
    found = earlier | {record["index"]: record for records in by_process for record in records}
    return [found[index] for index in range(count)]


def _answer_share(
    loader: EvaluationLoader,
    answer: Answer,
    own: list[Record],
    done: set[int],
    log: PredictionLog | None,
    stop: StopRequest | None,
    progress: _Progress,
) -> None:
    """Answer this process's batches into `own`, exchanging with the other processes every few batches."""
    together = BATCHES_BETWEEN_EXCHANGES if distributed.is_distributed() else 1
    longest = max(map(len, loader.shares(done)))
    answered = _Halving(loader, answer)
    with closing(loader.batches(done)) as batches:
        for _ in range(-(-longest // together)):
            problem: SamError | None = None
            for batch in islice(batches, together):
                try:
                    records = answered(batch)
                    own += records
                    if log is not None:
                        log.append(records)
                except SamError as error:
                    problem = error
                if problem is not None or _is_asked(stop):
                    break
            states = distributed.gather_on_all((len(own), problem, _is_asked(stop)))
            progress.answered(len(done) + sum(count for count, _, _ in states))
            problems = [error for _, error, _ in states if error is not None]
            if problems:
                raise problems[0]
            if any(asked for _, _, asked in states):
                raise RunStopped


class _Halving:
    """Answers batches. One that memory is too small for is answered in halves, and so are later ones that need as much.

    Args:
        loader: Where the batches come from; a half is loaded anew.
        answer: A batch's content -> one record for each sample.
    """

    def __init__(self, loader: EvaluationLoader, answer: Answer) -> None:
        self._loader, self._answer = loader, answer
        self._too_much = math.inf

    def __call__(self, batch: Batch) -> list[Record]:
        """Return a record for each sample of the batch, in order.

        Raises:
            SamError: A sample cannot be used, or alone needs more memory than there is.
        """
        if batch.problem is not None:
            raise batch.problem
        cost = self._loader.cost(batch.indices)
        if len(batch.indices) == 1 or cost < self._too_much:
            reason = self._try(batch)
            if not isinstance(reason, str):
                return reason
            self._too_much = cost
            logger.warning(
                "out of memory with %d samples together (%s): they, and later batches as large, are answered in "
                "halves; a smaller run.batch_size_eval or run.batch_gb_eval saves the attempt",
                len(batch.indices),
                reason,
            )
        half = (len(batch.indices) + 1) // 2
        halves = batch.indices[:half], batch.indices[half:]
        return [record for indices in halves for record in self(self._loader.load(indices))]

    def _try(self, batch: Batch) -> list[Record] | str:
        """Return the records; or, of several samples, what was said about memory: outside, no frame holds tensors."""
        loader = self._loader
        with naming_samples(lambda: f"answering {loader.describe(batch.indices)}", REMEDY):
            try:
                records = self._answer(batch.content)
            except Exception as error:
                if len(batch.indices) == 1 or not is_out_of_memory(error):
                    raise
                return first_line(error)
        if len(records) != len(batch.indices):
            raise SamConfigurationError(
                f"{loader.describe(batch.indices)}: found {len(records)} answers to {len(batch.indices)} samples, "
                "wanted one for each."
            )
        return [{"index": index, **record} for index, record in zip(batch.indices, records, strict=True)]


def _is_asked(stop: StopRequest | None) -> bool:
    return stop is not None and stop.name is not None
