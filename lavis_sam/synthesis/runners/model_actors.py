"""Stages with actors of their own on a Ray cluster, so that a GPU that paints is not held by who segments.

A worker goes through the stages of its part. Where a stage has actors, its batch goes to one of them and the worker
waits for the answers: what is on the way is at most one batch a worker, and `run.part_size` bounds a batch.
"""

import functools
import itertools
import pickle
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.synthesis.runners import SeparableJob

# Of each actor of a stage, where --actors says no more.
DEFAULT_GPUS: Mapping[str, float] = {
    "segment": 0.25, "background": 0.0, "inpaint": 1.0, "describe": 0.5, "refine": 0.0, "score": 0.25,
}  # fmt: skip
WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.5
_ENTRY = re.compile(r"([a-z_]+)(?:=(?:([1-9]\d{0,3})x)?(\d{1,3}(?:\.\d{1,4})?))?", re.ASCII)


@dataclass(frozen=True)
class StageActors:
    """How many actors a stage has, and which share of a GPU each of them."""

    stage: str
    count: int
    gpus: float


def read_actors(text: str) -> tuple[StageActors, ...]:
    """Read "segment=0.25,inpaint=2x1,score": a stage, how many actors (1), and GPUs of each (`DEFAULT_GPUS`).

    Raises:
        SamConfigurationError: An unknown stage, one that is named twice, or another form.
    """
    found: dict[str, StageActors] = {}
    for entry in text.split(","):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None:
            raise SamConfigurationError(
                f"--actors: found {entry.strip()!r}, wanted STAGE, STAGE=GPUS or STAGE=COUNTxGPUS, such as inpaint=2x1."
            )
        stage, count, gpus = match.groups()
        if stage not in DEFAULT_GPUS:
            raise SamConfigurationError(unknown_name("stage", stage, DEFAULT_GPUS, "--actors"))
        share = DEFAULT_GPUS[stage] if gpus is None else float(gpus)
        if share > 1 and share != int(share):
            raise SamConfigurationError(f"--actors: {stage}: found {gpus} GPUs, wanted a part of one, or whole ones.")
        if stage in found:
            raise SamConfigurationError(f"--actors: {stage} is named twice; give it once, such as {stage}=2x{share:g}.")
        found[stage] = StageActors(stage, int(count or 1), share)
    return tuple(found.values())


class ModelLostError(BaseException):
    """The actor died over this worker's batch. No `Exception`: a stage would take it for a fault of one sample."""


@dataclass(frozen=True)
class _Raised:
    """What a backend raised, in a form that always survives the way back.

    Attributes:
        fatal: The error itself, where it ends the run.
        states: Of the requests' generators: as here, a request that is asked again goes on where it was left.
    """

    kind: str
    message: str
    fatal: Exception | None
    states: tuple[Any, ...]


def answer(backend: Any, method: str, packed: bytes) -> bytes:
    """Ask a backend, there: requests and answers are packed, so that arrays can be written into as they can here."""
    requests = pickle.loads(packed)
    try:
        return pickle.dumps(getattr(backend, method)(requests), protocol=5)
    except Exception as error:
        fatal = error if isinstance(error, SamError | MemoryError) else None
        states = tuple(rng.bit_generator.state for rng in _generators(requests))
        return pickle.dumps(_Raised(type(error).__name__, str(error), fatal, states))


def unpacked(packed: bytes, requests: Sequence[Any]) -> Any:
    """Return the answers, here; or what the backend raised, by its name, with the requests as it left them."""
    found = pickle.loads(packed)
    if not isinstance(found, _Raised):
        return found
    for rng, state in zip(_generators(requests), found.states, strict=True):
        rng.bit_generator.state = state
    raise found.fatal or type(found.kind, (RuntimeError,), {})(found.message)


def _generators(requests: Sequence[Any]) -> list[Any]:
    return [request.rng for request in requests if hasattr(request, "rng")]


class ModelActor:
    """Holds the model of one stage."""

    def __init__(self, job: SeparableJob, stage: str, announcements: Any) -> None:
        """Load nothing yet: Ray builds an actor again elsewhere when its machine is lost."""
        self._job, self._stage, self._announcements = job, stage, announcements

    def ready(self) -> None:
        """Build the backend."""
        self._backend  # noqa: B018

    def ask(self, caller: str, number: int, version: str, method: str, packed: bytes) -> bytes:
        """Answer a batch; see `answer`.

        Raises:
            SamConfigurationError: The backend's files are others than those of the worker that asks.
        """
        import ray

        if self._backend.version != version:
            raise SamConfigurationError(
                f"stages.{self._stage}: found version {self._backend.version!r} on the machine of its actor and "
                f"{version!r} on a worker's; all machines of a run need the same files."
            )
        # Has to have arrived before the model is asked: an actor that dies cannot say over which batch.
        ray.get(self._announcements.begin.remote(caller, number))
        return answer(self._backend, method, packed)

    @functools.cached_property
    def _backend(self) -> Any:
        return self._job.backend(self._stage)


class Asker:
    """Sends a worker's batches of one stage to its actors, in turn; what an actor dies over is never sent twice."""

    def __init__(self, stage: str, actors: Sequence[Any], announcements: Any) -> None:
        """Set who is asked.

        Args:
            actors: Handles of `ModelActor`s.
        """
        self._stage, self.actors, self._announcements = stage, list(actors), announcements

    def for_worker(self, number: int, caller: str) -> None:
        """Set who asks; workers begin with different actors."""
        self._caller, self._numbers = caller, itertools.count(number)

    def __call__(self, version: str, method: str, requests: Sequence[Any]) -> Any:
        """Return the backend's answers.

        Raises:
            ModelLostError: The actor died over these requests.
            SamConfigurationError: No actor could be reached for long.
        """
        import ray
        from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

        packed, waiting_until = pickle.dumps(requests, protocol=5), time.monotonic() + WAIT_SECONDS
        while True:
            number = next(self._numbers)
            actor = self.actors[number % len(self.actors)]
            try:
                found = ray.get(actor.ask.remote(self._caller, number, version, method, packed))
            except RayTaskError as error:  # before the other: it may be both
                raise as_ours(error) from error
            except (RayActorError, ObjectLostError) as error:
                if ray.get(self._announcements.begun.remote(self._caller, number)):
                    raise ModelLostError(self._stage) from error
                if time.monotonic() > waiting_until:
                    raise SamConfigurationError(
                        f"--actors: no actor of {self._stage} could be reached for {WAIT_SECONDS / 60:.0f} minutes "
                        f"({error}). Has the cluster room for one? Finished parts are kept; add machines, and --resume."
                    ) from error
                time.sleep(_POLL_SECONDS)
                continue
            return unpacked(found, requests)


def start_models(job: SeparableJob, stored: Any, wanted: Sequence[StageActors], announcements: Any) -> dict[str, Asker]:
    """Start all actors, and wait until they are there.

    They take no processor of Ray's: the worker that waits for them has one.

    Args:
        stored: The job in the object store.

    Raises:
        SamConfigurationError: A stage has nothing to do, or the cluster has no room.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayTaskError

    for entry in wanted:
        if job.backend(entry.stage) is None:
            raise SamConfigurationError(f"--actors: {entry.stage}: stages.{entry.stage} does nothing; leave it out.")
    askers = {}
    for entry in wanted:
        factory = ray.remote(num_cpus=0, num_gpus=entry.gpus, max_restarts=-1)(ModelActor)
        actors = [factory.remote(stored, entry.stage, announcements) for _ in range(entry.count)]
        askers[entry.stage] = Asker(entry.stage, actors, announcements)
    try:
        ray.get([actor.ready.remote() for asker in askers.values() for actor in asker.actors], timeout=WAIT_SECONDS)
    except RayTaskError as error:
        raise as_ours(error) from error
    except GetTimeoutError as error:
        raise SamConfigurationError(
            f"--actors: they could not all be started in {WAIT_SECONDS / 60:.0f} minutes; is there a machine with "
            "room for each of them? Ask for less."
        ) from error
    return askers


def as_ours(error: Any) -> Exception:
    """Return what an actor raised, as the local runner raises it."""
    cause = error.cause
    if isinstance(cause, SamError):
        return cause
    if isinstance(cause, OSError):
        return OSError(f"{cause}. Finished parts are kept: repair it and run again with --resume.")
    return RuntimeError(f"a worker failed with {error}")
