"""A pool of processes on this machine that survives its workers.

Each worker has one part at a time, so memory does not grow with the data set. A worker that dies - killed for its
memory, or taken down by a native library - is replaced and its part made again, now sample by sample; a try that kills
a second worker becomes a rejection.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from lavis_sam.errors import SamConfigurationError, SamDataError, SamError
from lavis_sam.synthesis.runners import Job, PartTask, Progress

# Workers that die before they have done anything will go on doing so.
_DEATHS_AT_START = 3
# One part may kill this many workers; more is a machine that is out of memory, not a sample that is broken.
_DEATHS_OF_PART = 100
_FAREWELL_SECONDS = 10.0


class SerialRunner:
    """One part after the other in this process, for tests, debuggers and profilers; a crash ends the run."""

    def run(self, job: Job, tasks: Iterable[PartTask], on_event: Callable[[Progress], None]) -> None:
        """See `Runner.run`."""
        make = None
        for task in tasks:
            make = make or job.prepare()
            make(task, lambda event: on_event(event) if isinstance(event, Progress) else None)


class LocalRunner:
    """Worker processes, started afresh (never forked: native libraries keep threads and locks)."""

    def __init__(self, workers: int) -> None:
        """Set the number of processes, at least 1.

        Raises:
            SamConfigurationError: Fewer than one.
        """
        if workers < 1:
            raise SamConfigurationError(f"workers: found {workers}, wanted at least 1.")
        self._workers = workers
        self._context = multiprocessing.get_context("spawn")

    def run(self, job: Job, tasks: Iterable[PartTask], on_event: Callable[[Progress], None]) -> None:
        """See `Runner.run`."""
        pool = _Pool(self._context, job, self._workers)
        try:
            for event in pool.make_all(iter(tasks)):
                on_event(event)
        except BaseException:
            pool.kill()
            raise
        pool.close()


@dataclass
class _Worker:
    """A process, the pipe to it, and what it is doing."""

    process: Any
    pipe: Connection
    task: PartTask | None = None
    trying: tuple[int, int] | None = None
    ready: bool = False


class _Pool:
    def __init__(self, context: Any, job: Job, size: int) -> None:
        self._context, self._job, self._size = context, job, size
        self._workers: list[_Worker] = []
        self._again: deque[PartTask] = deque()
        self._deaths: dict[str, int] = {}
        self._deaths_at_start = 0

    def make_all(self, tasks: Iterator[PartTask]) -> Iterator[Progress]:
        """Hand out tasks and pass on what workers tell, until all are done."""
        while True:
            self._hand_out(tasks)
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                return
            for ready in multiprocessing.connection.wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in busy if worker.pipe is ready)
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    self._bury(worker)
                    continue
                worker.ready = True
                if isinstance(message, Progress):
                    yield message
                elif isinstance(message, tuple):
                    worker.trying = message
                elif isinstance(message, _Failed):
                    raise message.as_error()
                else:
                    worker.task = worker.trying = None

    def close(self) -> None:
        """Let idle workers go."""
        for worker in self._workers:
            with suppress(OSError):
                worker.pipe.send(None)
        for worker in self._workers:
            worker.process.join(_FAREWELL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End all workers at once; parts are written atomically, so nothing is left half done."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _hand_out(self, tasks: Iterator[PartTask]) -> None:
        idle = [worker for worker in self._workers if worker.task is None]
        while idle or len(self._workers) < self._size:
            task = self._again.popleft() if self._again else next(tasks, None)
            if task is None:
                return
            worker = idle.pop() if idle else self._start()
            worker.task, worker.trying = task, None
            try:
                worker.pipe.send(task)
            except OSError:
                self._bury(worker)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._job), daemon=True)
        process.start()
        # Our copy has to go, or the pipe would stay open when the worker dies.
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> None:
        """Put the part of a worker that died back to the front of the queue."""
        worker.process.join(_FAREWELL_SECONDS)
        worker.pipe.close()
        self._workers.remove(worker)
        how = _how_it_ended(worker.process.exitcode)
        if not worker.ready:
            self._deaths_at_start += 1
            if self._deaths_at_start >= _DEATHS_AT_START:
                raise SamConfigurationError(
                    f"{self._deaths_at_start} worker processes ended ({how}) before they had done anything. Run with "
                    "--workers 0 to see the reason in this process."
                )
        if worker.task is None:
            return
        deaths = self._deaths[worker.task.key] = self._deaths.get(worker.task.key, 0) + 1
        if deaths > _DEATHS_OF_PART:
            raise SamDataError(
                f"part {worker.task.key} has ended {deaths} worker processes ({how}). Is the memory enough? Use fewer "
                "workers or a smaller run.part_size, and --resume; finished parts are kept."
            )
        self._again.append(worker.task.after_crash(worker.trying))


@dataclass(frozen=True)
class _Failed:
    """An error in a worker, in a form that always survives the pipe."""

    kind: str
    message: str
    is_ours: bool
    is_disk: bool
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> "_Failed":
        text = "".join(traceback.format_exception(error))
        return cls(type(error).__name__, str(error), isinstance(error, SamError), isinstance(error, OSError), text)

    def as_error(self) -> Exception:
        if self.is_disk:
            return OSError(f"{self.message}. Finished parts are kept: correct it and run again with --resume.")
        if self.is_ours:
            return (SamDataError if self.kind == "SamDataError" else SamConfigurationError)(self.message)
        return RuntimeError(f"a worker failed with {self.kind}: {self.message}\n{self.trace}")


def _work(pipe: Connection, job: Job) -> None:
    """Work on parts until there are no more: the life of a worker process."""
    # Ctrl-C goes to the whole group; the parent decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        make = job.prepare()
        while (task := pipe.recv()) is not None:
            make(task, pipe.send)
            pipe.send("done")
    except (EOFError, BrokenPipeError):
        return
    except BaseException as error:
        with suppress(OSError):
            pipe.send(_Failed.of(error))


def _end_with_parent() -> None:
    """End with the parent: killed, it cannot say so, and no orphan may write into the folder of a run that resumes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            likely = ", most likely because the machine's memory ran out" if -code == signal.SIGKILL else ""
            return f"signal {signal.Signals(-code).name}{likely}"
    return f"exit code {code}"
