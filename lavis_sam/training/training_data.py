"""All that a run takes batches from; the training batches of a process have a position that can be saved.

They come from map-style data sets or from one stream. Both give the same thing to the training loop: `Batch`es,
`remaining`, `state_dict` and `load_state_dict`. The position is that of the batches handed out, whatever worker
processes have read ahead.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.datasets.guarded import Unusable
from lavis_sam.datasets.sampler import training_order
from lavis_sam.datasets.shards.stream import ShardStream
from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.signals import ignore_signals_in_worker, stop_workers
from lavis_sam.training.data_fingerprint import dataset_fingerprint, stream_fingerprint
from lavis_sam.training.loaders import (
    GlobalBatchSampler,
    GuardedCollate,
    datasets_by_split,
    set_draw,
    training_loader,
)


@dataclass(frozen=True)
class Batch:
    """What one forward pass gets.

    Attributes:
        samples: The batch.
        counts: False for a dummy batch: this process has no share of the global batch, but joins in DDP's exchange.
        unusable: Samples that were left out.
    """

    samples: dict[str, Any]
    counts: bool = True
    unusable: tuple[Unusable, ...] = ()


class TrainingData(Protocol):
    """What the training loop asks of its data."""

    loader: DataLoader

    @property
    def global_batch(self) -> int:
        """Samples in a batch over all processes."""

    @property
    def remaining(self) -> int | None:
        """Batches of this epoch still to come, the same for all processes; None when only the end will tell."""

    def start(self, epoch: int, seed: int) -> None:
        """Go to the beginning of an epoch, or to the loaded position within it."""

    def next_batch(self) -> Batch:
        """Return the next batch, or a dummy batch when there is none."""

    def stop(self) -> None:
        """Let go of what reads ahead (worker processes, open files); the position stays."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position after the batches handed out."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a position of `state_dict`; the next `start` goes there."""

    @property
    def fingerprints(self) -> list[str | None]:
        """A hash of each training set's samples (see `data_fingerprint`); None for one that does not tell them."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch; for a stream an estimate."""


def build_run_data(
    datasets: Mapping[str, Mapping[str, Any]], settings: RunSettings, *, pin_memory: bool
) -> dict[str, Any]:
    """Return what this process takes batches from, for the splits that the run uses.

    Args:
        datasets: Data set name -> split -> data set.
        pin_memory: Whether batches go to a GPU.

    Returns:
        "train" -> `TrainingData` over all training sets (unless the run only evaluates); evaluation split -> data set
        name -> loader.

    Raises:
        SamConfigurationError: A split that no data set has.
        SamDataError: An empty training split.
    """
    options: dict[str, Any] = {"num_workers": settings.num_workers, "pin_memory": pin_memory}
    place: dict[str, Any] = {"rank": distributed.rank(), "world_size": distributed.world_size()}
    found: dict[str, Any] = {}
    if not settings.evaluate and settings.max_epoch > 0:
        by_split = datasets_by_split(datasets, settings.train_splits)
        parts: list[Any] = [part for by_name in by_split.values() for part in by_name.values()]
        found["train"] = build_training_data(
            parts,
            batch_size=settings.batch_size_train,
            seed=settings.seed,
            batching=settings.batching,
            **place,
            **options,
        )
    splits = [*([] if settings.evaluate else settings.valid_splits), *settings.test_splits]
    for split, by_name in datasets_by_split(datasets, splits).items():
        found[split] = {
            name: EvaluationLoader(
                dataset, settings.batch_size_eval, max_bytes=settings.batch_bytes_eval, **place, **options
            )
            for name, dataset in by_name.items()
        }
    return found


def build_training_data(
    datasets: Sequence[Any],
    *,
    batch_size: int,
    seed: int,
    rank: int,
    world_size: int,
    batching: str = "shuffled",
    **options: Any,
) -> TrainingData:
    """Return the training data of one process.

    Args:
        datasets: Map-style data sets, which are mixed (see `MixedOrder`); or a single stream.
        batch_size: Samples in a batch of one process.
        seed: Seed of the shuffle.
        batching: "shuffled" or "bucketed"; see `training_order`.
        options: Of `torch.utils.data.DataLoader`.

    Raises:
        SamConfigurationError: A stream beside another training set, an unknown batching or wrong ratios.
        SamDataError: No sample.
    """
    if not any(isinstance(dataset, ShardStream) for dataset in datasets):
        order = training_order(datasets, global_batch=batch_size * world_size, seed=seed, batching=batching)
        sampler = GlobalBatchSampler(len(order), batch_size, seed=seed, rank=rank, world_size=world_size, order=order)
        return MapBatches(training_loader(datasets, sampler, **options), sampler)
    if len(datasets) > 1:
        raise SamConfigurationError(
            f"datasets: found {len(datasets)} training sets, one of them a stream (type: webdataset), which must be "
            "alone. Name the shards of both in one storage, or mix sets of `type: shards`."
        )
    if batching != "shuffled":
        raise SamConfigurationError(
            f"run.batching: found {batching!r} for a stream (type: webdataset), wanted 'shuffled': nobody knows the "
            "sizes of its samples before they come."
        )
    return StreamBatches(datasets[0], batch_size, seed=seed, rank=rank, world_size=world_size, **options)


class MapBatches:
    """Batches of map-style data sets, in the order of a `GlobalBatchSampler`.

    The position is a number of samples of the epoch's order, the same on all processes: it means the same to a run with
    another batch size or number of processes.
    """

    def __init__(self, loader: DataLoader, sampler: GlobalBatchSampler) -> None:
        self.loader, self.sampler = loader, sampler
        self.epoch, self.position = 0, 0
        self._digest: tuple[int, str] | None = None
        self._batches: Iterator[Any] = iter(())
        self._last: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.sampler)

    @property
    def global_batch(self) -> int:
        """See `TrainingData`."""
        return self.sampler.global_batch

    @property
    def remaining(self) -> int:
        """Batches of this epoch still to come."""
        return self.sampler.batches_from(self.position)

    @cached_property
    def fingerprints(self) -> list[str | None]:
        """See `TrainingData`."""
        guarded: Any = self.loader.dataset
        return [dataset_fingerprint(dataset) for dataset in guarded.dataset.datasets]

    @property
    def used(self) -> int:
        """Batches of this size that the position stands for."""
        return -(-self.position // self.global_batch)

    def start(self, epoch: int, seed: int) -> None:
        """See `TrainingData`."""
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0
        self.sampler.set_epoch(epoch, self.position)
        set_draw(self.loader.dataset, seed=seed, epoch=epoch)
        self._batches = iter(self.loader) if self.remaining else iter(())

    def next_batch(self) -> Batch:
        """See `TrainingData`."""
        samples = next(self._batches)
        counts = self.sampler.counts(self.position)
        self.position = min(self.position + self.global_batch, self.sampler.length)
        unusable = tuple(samples.pop("unusable", ()))
        if not samples:
            samples = _dummy_batch(self._last, [sample.problem for sample in unusable])
            return Batch(samples, counts=False, unusable=unusable if counts else ())
        self._last = samples
        return Batch(samples, counts, unusable if counts else ())

    def stop(self) -> None:
        """See `TrainingData`."""
        stop_workers(self._batches)
        self._batches = iter(())

    def state_dict(self) -> dict[str, Any]:
        """See `TrainingData`."""
        state = {"kind": "map", "epoch": self.epoch, "position": self.position, "batches": self.used}
        return state | {"global_batch": self.global_batch} | self._identity(self.epoch)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `TrainingData`.

        Raises:
            SamCheckpointError: The position is one in other data, or in another order.
        """
        epoch, length = int(state["epoch"]), int(state.get("samples", 0))
        # Files without a position are of a time when the batch size could not change within an epoch.
        position = int(state.get("position", state["batches"] * state.get("global_batch", 0)))
        if epoch < 0 or position < 0:
            raise ValueError(f"epoch {epoch}, position {position}")
        wanted = {"kind": "map"} | self._identity(epoch)
        found = {key: state.get(key) for key in wanted}
        if "order_digest" not in state:
            found["order_digest"] = wanted["order_digest"]
        if found != wanted and (found["kind"] != "map" or 0 < position < length):
            raise SamCheckpointError(
                f"the training data of the checkpoint are {found}, those of this run {wanted}: within an epoch, a run "
                "continues only with the same samples in the same order (data sets, run.seed, run.batching; with "
                "bucketed batches also run.batch_size_train x processes). Give these the checkpoint's values, or "
                "continue from a checkpoint of a whole epoch."
            )
        self.epoch, self.position = epoch, position if position < length else self.sampler.length

    def _identity(self, epoch: int) -> dict[str, Any]:
        """Return what a position in an epoch depends on."""
        if self._digest is None or self._digest[0] != epoch:
            order = repr(self.sampler.order(epoch)).encode()
            self._digest = epoch, hashlib.blake2b(order, digest_size=8).hexdigest()
        order_of = {"order": self.sampler.order.identity, "order_digest": self._digest[1]}
        return {"samples": self.sampler.length, "seed": self.sampler.seed, **order_of}


class StreamBatches:
    """Batches of a `ShardStream`.

    Each worker makes whole batches of its own samples and sends its stream's position with each; the positions behind
    the batches handed out, and whose turn it is, are the position of the process.
    """

    def __init__(
        self, dataset: ShardStream, batch_size: int, *, seed: int, rank: int, world_size: int, **options: Any
    ) -> None:
        dataset.seed = seed
        self.dataset, self.batch_size, self.world_size = dataset, batch_size, world_size
        self.global_batch = batch_size * world_size
        self.workers = max(1, options.get("num_workers", 0))
        dataset.split(rank, world_size, self.workers)
        self.source = _BatchedStream(dataset, batch_size)
        self.loader = DataLoader(
            self.source,
            batch_size=None,
            worker_init_fn=ignore_signals_in_worker,
            generator=torch.Generator().manual_seed(0),
            **options,
        )
        self.epoch, self.used = 0, 0
        self._states: list[Any] = [None] * self.workers
        self._turn = 0
        self._loading: Iterator[Any] = iter(())
        self._batches: Iterator[Any] = iter(())
        self._last: dict[str, Any] | None = None

    def __len__(self) -> int:
        return max(1, -(-len(self.dataset) // self.global_batch))

    @property
    def remaining(self) -> None:
        """Unknown: the streams of the processes end when they end."""
        return None

    @cached_property
    def fingerprints(self) -> list[str | None]:
        """See `TrainingData`."""
        return [stream_fingerprint(self.dataset.shards)]

    def start(self, epoch: int, seed: int) -> None:
        """See `TrainingData`."""
        if epoch != self.epoch:
            self.epoch, self.used, self._turn = epoch, 0, 0
            self._states = [None] * self.workers
        set_draw(self.dataset, seed=seed, epoch=epoch)
        self.source.states, self.source.turn = self._states, self._turn
        self._loading = iter(self.loader)
        self._batches = (found for found in self._loading if found is not None)

    def next_batch(self) -> Batch:
        """See `TrainingData`."""
        unusable: list[Unusable] = []
        for number, samples, state in self._batches:
            self._states[number] = state
            self._turn = (number + 1) % self.workers
            self.used += 1
            unusable += samples.pop("unusable", ())
            if samples:
                self._last = samples
                return Batch(samples, unusable=tuple(unusable))
        problems = [sample.problem for sample in unusable] or ["the stream gave this process no sample"]
        return Batch(_dummy_batch(self._last, problems), counts=False, unusable=tuple(unusable))

    def stop(self) -> None:
        """See `TrainingData`."""
        stop_workers(self._loading)
        self._loading = self._batches = iter(())

    def state_dict(self) -> dict[str, Any]:
        """See `TrainingData`."""
        position = {"epoch": self.epoch, "batches": self.used, "workers": list(self._states), "turn": self._turn}
        return position | self._identity()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `TrainingData`.

        Raises:
            SamCheckpointError: The position is one in other data.
        """
        wanted = self._identity()
        found = {key: state.get(key) for key in wanted}
        if state.get("batches", 0) and found != wanted:
            raise SamCheckpointError(
                f"the training data of the checkpoint are {found}, those of this run {wanted}: within an epoch of a "
                "stream, a run continues only with the same shards, buffer and seed, and the same numbers of workers, "
                "processes and samples in a batch. Give these the checkpoint's values, continue from a checkpoint of a "
                "whole epoch, or use `type: shards`."
            )
        self.epoch, self.used = int(state["epoch"]), int(state["batches"])
        self._states, self._turn = list(state["workers"]), int(state["turn"])

    def _identity(self) -> dict[str, Any]:
        sizes = {"num_workers": self.workers, "batch_size": self.batch_size, "world_size": self.world_size}
        return {"kind": "stream", **sizes, **self.dataset.identity}


class _BatchedStream(IterableDataset):
    """In each worker: (worker's number, batch, the stream's position behind it)."""

    def __init__(self, dataset: ShardStream, batch_size: int) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.states: list[Any] = [None]
        self.turn = 0
        self._collate = GuardedCollate(dataset.collater)

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any], Any] | None]:
        info = get_worker_info()
        number = info.id if info is not None else 0
        if self.states[number] is not None:
            self.dataset.load_state_dict(self.states[number])
        if number < self.turn:
            yield None  # the loader asks its workers in turn from the first on, and it is not this one's turn
        items = iter(self.dataset)
        while batch := list(islice(items, self.batch_size)):
            yield number, self._collate(enumerate(batch)), self.dataset.state_dict()


def _dummy_batch(last: dict[str, Any] | None, problems: Sequence[str]) -> dict[str, Any]:
    if last is None:
        raise SamDataError("the first training batch has no usable sample: " + "; ".join(problems))
    return last
