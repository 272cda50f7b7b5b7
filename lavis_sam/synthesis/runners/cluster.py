"""Workers on a Ray cluster, or on this machine under Ray: they see the same folder, so the files are the same.

Each worker is an actor that builds the models once and holds its share of a GPU. It has one part at a time, so neither
the queue nor the object store grows with the data set. A worker that dies, alone or with its node, is replaced where
the cluster has room, and its part made again, by whoever is free, as the local runner does it. Stages may have actors
of their own (`model_actors`).
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.runners import Job, PartTask, Progress
from lavis_sam.synthesis.runners.model_actors import (
    WAIT_SECONDS,
    Asker,
    ModelLostError,
    StageActors,
    as_ours,
    start_models,
)

# So many workers may end before they have done anything.
_DEATHS_AT_START = 20
# One part may end this many workers; more is a cluster that is out of memory, not a sample that is broken.
_DEATHS_OF_PART = 20


class RayRunner:
    """Actors of Ray Core."""

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        actors: Sequence[StageActors] = (),
    ) -> None:
        """Set where and how many.

        Args:
            address: Of a cluster ("auto", "host:6379"); None starts Ray on this machine for the length of the run.
            workers: None for as many as the cluster has room for.
            cpus: Of each worker.
            gpus: Of each worker; a fraction shares a GPU.
            actors: Of the stages whose models workers do not hold.

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
        self._address, self._workers, self._actors = address, workers, tuple(actors)
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
                pool.start_models(self._actors)
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
        taken = sum(entry.count * entry.gpus for entry in self._actors)
        if taken > there.get("GPU", 0):
            raise SamConfigurationError(
                f"--actors: they want GPU {taken:g}; the Ray cluster has GPU {there.get('GPU', 0):g}. Ask for less."
            )
        there["GPU"] = there.get("GPU", 0) - taken
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
    """What workers and models are at, kept outside of them: one that dies cannot say."""

    def __init__(self) -> None:
        self._tries: dict[str, tuple[int, int]] = {}
        self._batches: dict[str, int] = {}

    def begin(self, caller: str, number: int) -> None:
        """Note the batch of a worker that a model begins with."""
        self._batches[caller] = number

    def begun(self, caller: str, number: int) -> bool:
        """Return whether a model has begun with this batch."""
        return self._batches.get(caller) == number

    def set(self, key: str, trying: tuple[int, int]) -> None:
        """Note the place and the try that a worker is at."""
        self._tries[key] = trying

    def take(self, key: str) -> tuple[int, int] | None:
        """Return what is noted of a worker, and forget it."""
        return self._tries.pop(key, None)


class _Worker:
    """Makes parts, and holds the models of all stages that have no actors."""

    def __init__(self, job: Job, announcements: Any, models: dict[str, Asker], number: int) -> None:
        self._job, self._announcements, self._models, self._number = job, announcements, models, number
        self._make: Any = None

    def ready(self) -> None:
        """Build the backends."""
        import ray

        caller = ray.get_runtime_context().get_actor_id()
        for asker in self._models.values():
            asker.for_worker(self._number, caller)
        self._make = self._job.prepare(self._models) if self._models else self._job.prepare()  # type: ignore[call-arg]

    def make(self, task: PartTask) -> list[Progress] | None:
        """Make a part, and return what happened on the way; None where a model was lost over it."""
        import ray

        events: list[Progress] = []

        def emit(event: Progress | tuple[int, int]) -> None:
            if isinstance(event, Progress):
                events.append(event)
            else:  # has to have arrived before the try begins
                ray.get(self._announcements.set.remote(task.key, event))

        try:
            self._make(task, emit)
        except ModelLostError:  # as if this worker had died: the part is made again
            return None
        return events


class _Pool:
    def __init__(self, job: Job, wanted: dict[str, float], size: int) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._job, self._stored, self._size = job, ray.put(job), size
        # What is noted of others must not be lost with their machines.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._announcements = ray.remote(num_cpus=0, scheduling_strategy=here)(_Announcements).remote()
        self._class = ray.remote(num_cpus=wanted["CPU"], num_gpus=wanted.get("GPU", 0))(_Worker)
        self._models: dict[str, Asker] = {}
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, PartTask]] = {}
        self._waiting: deque[PartTask] = deque()
        self._deaths: dict[str, int] = {}
        self._started = self._deaths_at_start = 0

    def start_models(self, actors: Sequence[StageActors]) -> None:
        """Start the stages' actors."""
        self._models = start_models(self._job, self._stored, actors, self._announcements)  # type: ignore[arg-type]

    def make_all(self, tasks: Iterator[PartTask]) -> Iterator[Progress]:
        """Hand out tasks and pass on what workers have done, until all are done."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        while self._hand_out(tasks):
            # While others work, a worker may wait for room as long as it likes.
            ready, _ = ray.wait([*self._busy, *self._starting], timeout=None if self._busy else WAIT_SECONDS)
            if not ready:
                raise SamConfigurationError(
                    f"the Ray cluster has had no room for a worker for {WAIT_SECONDS / 60:.0f} minutes. Finished parts "
                    "are kept: add machines, or free some, and run again with --resume."
                )
            worker, task = self._busy.pop(ready[0], None) or (self._starting.pop(ready[0]), None)
            try:
                events = ray.get(ready[0])
            except RayTaskError as error:  # before the other: it may be both
                raise as_ours(error) from error
            except RayActorError as error:
                ray.kill(worker)  # it may be out of reach only
                self._bury(task, error)
                continue
            self._idle.append(worker)
            if task is not None and events is None:
                self._repeat(task, "lost")
            yield from events or ()

    def close(self) -> None:
        """End all actors at once; parts are written atomically, so nothing is left half done."""
        import ray

        workers = [*self._idle, *self._starting.values(), *(worker for worker, _ in self._busy.values())]
        models = [actor for asker in self._models.values() for actor in asker.actors]
        for actor in [*workers, *models, self._announcements]:
            ray.kill(actor)

    def _hand_out(self, tasks: Iterator[PartTask]) -> bool:
        """Give idle workers parts, start workers for the others; False when everything is done."""
        while len(self._waiting) < self._size and (task := next(tasks, None)) is not None:
            self._waiting.append(task)
        while self._idle and self._waiting:
            worker, task = self._idle.pop(), self._waiting.popleft()
            self._busy[worker.make.remote(task)] = worker, task
        missing = self._size - len(self._busy) - len(self._starting)
        for _ in range(min(missing, len(self._waiting) - len(self._starting))):
            worker = self._class.remote(self._stored, self._announcements, self._models, self._started)
            self._starting[worker.ready.remote()] = worker
            self._started += 1
        return bool(self._busy or self._waiting)

    def _bury(self, task: PartTask | None, error: Exception) -> None:
        """Note that a worker has died: its part goes back into the queue."""
        if task is not None:
            return self._repeat(task, error)
        self._deaths_at_start += 1
        if self._deaths_at_start > _DEATHS_AT_START:
            raise SamConfigurationError(
                f"{self._deaths_at_start} workers ended before they had done anything ({error}). Run with --workers 0, "
                "without --runner, to see the reason in one process."
            ) from error

    def _repeat(self, task: PartTask, error: object) -> None:
        import ray

        deaths = self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
        if deaths > _DEATHS_OF_PART:
            raise SamDataError(
                f"part {task.key} has ended {deaths} workers or models ({error}). Is the memory enough? Use fewer "
                "workers or a smaller run.part_size, and --resume; finished parts are kept."
            )
        self._waiting.append(task.after_crash(ray.get(self._announcements.take.remote(task.key))))
