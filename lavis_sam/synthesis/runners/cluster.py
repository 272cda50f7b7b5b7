"""Workers on a Ray cluster, or on this machine under Ray: they see the same folder, so the files are the same.

Each worker is an actor that builds the models once and holds its share of a GPU. It has one part at a time, so neither
the queue nor the object store grows with the data set. A worker that dies, alone or with its node, is replaced where
the cluster has room, and its part made again as the local runner does it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from lavis_sam.errors import SamConfigurationError, SamDataError, SamError
from lavis_sam.synthesis.runners import Job, PartTask, Progress

# One part may end this many workers; more is a cluster that is out of memory, not a sample that is broken.
_DEATHS_OF_PART = 20


class RayRunner:
    """Actors of Ray Core."""

    def __init__(
        self, address: str | None = None, *, workers: int | None = None, cpus: float = 1.0, gpus: float = 0.0
    ) -> None:
        """Set where and how many.

        Args:
            address: Of a cluster ("auto", "host:6379"); None starts Ray on this machine for the length of the run.
            workers: None for as many as the cluster has room for.
            cpus: Of each worker.
            gpus: Of each worker; a fraction shares a GPU.

        Raises:
            SamConfigurationError: Ray is not installed, or a number is out of range.
        """
        if find_spec("ray") is None:
            raise SamConfigurationError(
                "the runner ray needs ray, not installed here; install it with `pip install 'lavis_sam[ray]'`."
            )
        if (workers is not None and workers < 1) or cpus <= 0 or gpus < 0:
            raise SamConfigurationError(
                f"found workers {workers}, cpus {cpus} and gpus {gpus}, wanted at least 1, more than 0, at least 0."
            )
        self._address, self._workers = address, workers
        self._wanted = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})

    def run(self, job: Job, tasks: Iterable[PartTask], on_event: Callable[[Progress], None]) -> None:
        """See `Runner.run`."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray reports to its makers
        import ray

        begun_here = not ray.is_initialized()
        if begun_here:
            _connect(self._address)
        try:
            pool = _Pool(job, self._wanted, self._size())
            try:
                for event in pool.make_all(iter(tasks)):
                    on_event(event)
            finally:
                pool.close()
        finally:
            if begun_here:
                ray.shutdown()

    def _size(self) -> int:
        import ray

        there = ray.cluster_resources()
        room = min(int(there.get(name, 0) / amount) for name, amount in self._wanted.items())
        if room < 1:
            found = ", ".join(f"{name} {there.get(name, 0):g}" for name in self._wanted)
            wanted = ", ".join(f"{name} {amount:g}" for name, amount in self._wanted.items())
            raise SamConfigurationError(f"a worker wants {wanted}; the Ray cluster has {found}. Ask for less.")
        return min(room, self._workers or room)


def _connect(address: str | None) -> None:
    import ray

    try:
        # A dashboard is for those who start a cluster of their own.
        ray.init(address=address or "local", log_to_driver=False, **({} if address else {"include_dashboard": False}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SamConfigurationError(
            f"--address: no Ray cluster answers at {address or 'this machine'} ({error}). Start one with "
            "`ray start --head`, or leave --address out."
        ) from error


class _Announcements:
    """The try that each worker is at, kept outside of it: a worker that dies cannot say."""

    def __init__(self) -> None:
        self._tries: dict[str, tuple[int, int]] = {}

    def set(self, key: str, trying: tuple[int, int]) -> None:
        """Note the place and the try that a worker is at."""
        self._tries[key] = trying

    def take(self, key: str) -> tuple[int, int] | None:
        """Return what is noted of a worker, and forget it."""
        return self._tries.pop(key, None)


class _Worker:
    """Holds the models."""

    def __init__(self, job: Job, announcements: Any) -> None:
        self._job, self._announcements = job, announcements
        self._make: Any = None

    def make(self, task: PartTask) -> list[Progress]:
        """Make a part, and return what happened on the way."""
        import ray

        events: list[Progress] = []

        def emit(event: Progress | tuple[int, int]) -> None:
            if isinstance(event, Progress):
                events.append(event)
            else:  # has to have arrived before the try begins
                ray.get(self._announcements.set.remote(task.key, event))

        self._make = self._make or self._job.prepare()
        self._make(task, emit)
        return events


class _Pool:
    def __init__(self, job: Job, wanted: dict[str, float], size: int) -> None:
        import ray

        self._size = size
        self._announcements = ray.remote(num_cpus=0)(_Announcements).remote()
        self._class = ray.remote(num_cpus=wanted["CPU"], num_gpus=wanted.get("GPU", 0))(_Worker)
        self._job = ray.put(job)
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, PartTask]] = {}
        self._again: deque[PartTask] = deque()
        self._deaths: dict[str, int] = {}

    def make_all(self, tasks: Iterator[PartTask]) -> Iterator[Progress]:
        """Hand out tasks and pass on what workers have done, until all are done."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        while True:
            self._hand_out(tasks)
            if not self._busy:
                return
            (ready, *_), _ = ray.wait(list(self._busy), num_returns=1)
            worker, task = self._busy.pop(ready)
            try:
                events = ray.get(ready)
            except RayTaskError as error:  # before the other: it may be both
                raise _as_ours(error) from error
            except RayActorError as error:
                self._repeat(task, error)
                continue
            self._idle.append(worker)
            yield from events

    def close(self) -> None:
        """End all workers at once; parts are written atomically, so nothing is left half done."""
        import ray

        for actor in [*self._idle, *(worker for worker, _ in self._busy.values()), self._announcements]:
            ray.kill(actor)

    def _hand_out(self, tasks: Iterator[PartTask]) -> None:
        while len(self._busy) < self._size:
            task = self._again.popleft() if self._again else next(tasks, None)
            if task is None:
                return
            worker = self._idle.pop() if self._idle else self._class.remote(self._job, self._announcements)
            self._busy[worker.make.remote(task)] = worker, task

    def _repeat(self, task: PartTask, error: Exception) -> None:
        import ray

        deaths = self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
        if deaths > _DEATHS_OF_PART:
            raise SamDataError(
                f"part {task.key} has ended {deaths} workers ({error}). Is the memory enough? Use fewer workers or a "
                "smaller run.part_size, and --resume; finished parts are kept."
            ) from error
        self._again.append(task.after_crash(ray.get(self._announcements.take.remote(task.key))))


def _as_ours(error: Any) -> Exception:
    """What a worker raised, as the local runner raises it."""
    cause = error.cause
    if isinstance(cause, SamError):
        return cause
    if isinstance(cause, OSError):
        return OSError(f"{cause}. Finished parts are kept: repair it and run again with --resume.")
    return RuntimeError(f"a worker failed with {error}")
