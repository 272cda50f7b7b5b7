"""The loader of map-style training sets, whose order depends on (seed, epoch) alone, for any number of processes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from lavis_sam.datasets.guarded import GuardedDataset, Unusable
from lavis_sam.datasets.sampler import EpochOrder, MixedOrder, Mixture
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.signals import ignore_signals_in_worker


class GlobalBatchSampler(Sampler[list[int]]):
    """Batches of one process, such that W processes of batch b see what one process of batch W * b sees.

    A global batch is the next run of W * b indices of the epoch's order; process r takes every W-th of them from the
    r-th. Nothing is dropped and nothing is repeated: the last global batch is smaller when the numbers say so. A
    process that would get nothing of it is given one index that does not count; see `counts`.

    A place in an epoch is a number of samples of its order, so whoever goes on from one may have other W and b.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        order: EpochOrder | None = None,
    ) -> None:
        """Set up epoch 0.

        Args:
            length: Samples of an epoch.
            batch_size: b, samples in a batch of one process.
            seed: Seed of the shuffle.
            rank: r, this process.
            world_size: W, the number of processes.
            order: The indices of an epoch; by default those below `length`, each once, at random.

        Raises:
            SamDataError: `length` is 0.
        """
        if length < 1:
            raise SamDataError("training split: found 0 samples, wanted at least one.")
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.order = order or MixedOrder([range(length)], seed)
        self.epoch, self.first = 0, 0

    @property
    def global_batch(self) -> int:
        """W * b, samples in a batch over all processes."""
        return self.batch_size * self.world_size

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch whose order the next iteration has, and how many of its samples have been before."""
        self.epoch, self.first = epoch, first

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch; the same for all processes."""
        return self.batches_from(0)

    def batches_from(self, first: int) -> int:
        """Return the number of batches of an epoch after its first `first` samples."""
        return -(-(self.length - first) // self.global_batch)

    def counts(self, first: int) -> bool:
        """Return whether this process has a share, and no uncounted index, of the global batch from sample `first`."""
        return first + self.rank < self.length

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the epoch's batches of this process, from sample `first`."""
        order = self.order(self.epoch)
        for first in range(self.first, self.length, self.global_batch):
            yield order[first : first + self.global_batch][self.rank :: self.world_size] or order[:1]


def datasets_by_split(
    datasets: Mapping[str, Mapping[str, Dataset]], splits: Sequence[str]
) -> dict[str, dict[str, Dataset]]:
    """Return {name: {split: data set}} -> {split: {name: data set}} for the wanted splits.

    Raises:
        SamConfigurationError: A wanted split that no data set has.
    """
    by_split: dict[str, dict[str, Dataset]] = {}
    for split in splits:
        by_split[split] = {name: parts[split] for name, parts in datasets.items() if split in parts}
        if not by_split[split]:
            found = {name: sorted(parts) for name, parts in datasets.items()}
            raise SamConfigurationError(
                f"run.*_splits: wants the split {split!r}, found {found}; name its annotations under "
                "datasets.*.build_info.annotations, or remove it from run."
            )
    return by_split


def collater_of(dataset: Any) -> Callable[[list[Any]], Any]:
    """Return what makes a batch of a data set's samples: its `collater` if it has one, else PyTorch's default."""
    return getattr(dataset, "collater", None) or torch.utils.data.default_collate


def training_loader(datasets: Sequence[Any], sampler: GlobalBatchSampler, **options: Any) -> DataLoader:
    """Return the loader over all training sets, joined; samples with unusable files are left out of their batch.

    Args:
        datasets: Map-style data sets; the first one's `collater` is used.
        sampler: Over the mixture of them.
        options: Of `torch.utils.data.DataLoader`: `num_workers`, `pin_memory`.
    """
    return DataLoader(
        GuardedDataset(Mixture(datasets)),
        batch_sampler=sampler,
        collate_fn=GuardedCollate(collater_of(datasets[0])),
        worker_init_fn=ignore_signals_in_worker,
        # Otherwise making an iterator would draw from the run's own generator, as often as the run was continued.
        generator=torch.Generator().manual_seed(sampler.seed),
        **options,
    )


class GuardedCollate:
    """Collates the usable items of (index, item) pairs; `unusable`, if there is such a key, lists the others."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, pairs: Iterable[tuple[int, Any]]) -> dict[str, Any]:
        """Return the batch; empty but for `unusable` when nothing is usable."""
        items = [item for _, item in pairs]
        usable = [item for item in items if not isinstance(item, Unusable)]
        unusable = [item for item in items if isinstance(item, Unusable)]
        batch = dict(self.collate(usable)) if usable else {}
        return batch | {"unusable": unusable} if unusable else batch


def set_draw(dataset: Any, *, seed: int, epoch: int) -> None:
    """Give every data set inside `dataset` the seed and epoch of its random augmentation; others ignore it."""
    inner = getattr(dataset, "dataset", None)
    for part in (*getattr(dataset, "datasets", ()), *([inner] if inner is not None else [])):
        set_draw(part, seed=seed, epoch=epoch)
    if hasattr(dataset, "set_epoch"):
        dataset.seed = seed
        dataset.set_epoch(epoch)
