"""Data loaders whose order depends on (seed, epoch) alone, for any number of processes and workers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler

from lavis_sam.errors import SamConfigurationError, SamDataError

# Keeps the shuffle's random stream apart from the augmentation's, which uses the same seed.
_SHUFFLE_SALT = 0x5A4D


class GlobalBatchSampler(Sampler[list[int]]):
    """Batches of one process, such that W processes of batch b see what one process of batch W * b sees.

    Global batch g of an epoch is the g-th run of W * b indices of the epoch's permutation; process r takes every W-th
    of them from the r-th. Nothing is dropped and nothing is repeated: the last global batch is smaller when the numbers
    say so. A process that would get nothing of it is given one index that does not count; see `counts`.
    """

    def __init__(self, length: int, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Set up epoch 0.

        Args:
            length: Samples in the data set.
            batch_size: b, samples in a batch of one process.
            seed: Seed of the shuffle.
            rank: r, this process.
            world_size: W, the number of processes.

        Raises:
            SamDataError: `length` is 0.
        """
        if length < 1:
            raise SamDataError("training split: found 0 samples, wanted at least one.")
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration has."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of an epoch; the same for all processes."""
        return -(-self.length // (self.batch_size * self.world_size))

    def counts(self, batch: int) -> bool:
        """Whether this process has a share of global batch `batch`, or only an index that does not count."""
        return batch * self.batch_size * self.world_size + self.rank < self.length

    def __iter__(self) -> Iterator[list[int]]:
        """The epoch's batches of this process."""
        generator = torch.Generator().manual_seed((self.seed * 2**20 + self.epoch) ^ _SHUFFLE_SALT)
        order = torch.randperm(self.length, generator=generator).tolist()
        size = self.batch_size * self.world_size
        for batch in range(len(self)):
            share = order[batch * size : (batch + 1) * size][self.rank :: self.world_size]
            yield share or order[:1]


def datasets_by_split(
    datasets: Mapping[str, Mapping[str, Dataset]], splits: Sequence[str]
) -> dict[str, dict[str, Dataset]]:
    """{name: {split: data set}} -> {split: {name: data set}} for the wanted splits.

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


def training_loader(datasets: Sequence[Any], sampler: GlobalBatchSampler, **options: Any) -> DataLoader:
    """The loader over all training sets, joined.

    Args:
        datasets: LAVIS data sets (with `collater`, of which the first one's is used).
        sampler: Over the sum of their lengths.
        options: Of `torch.utils.data.DataLoader`: `num_workers`, `pin_memory`.
    """
    collate = datasets[0].collater
    return DataLoader(ConcatDataset(datasets), batch_sampler=sampler, collate_fn=collate, **options)


def evaluation_loader(dataset: Any, batch_size: int, *, rank: int, world_size: int, **options: Any) -> DataLoader:
    """The loader of this process's samples, rank, rank + W, …, in the data set's order.

    Args:
        dataset: A LAVIS data set (with `collater`).
        batch_size: Samples in a batch.
        rank: This process.
        world_size: W, over how many processes the samples are split.
        options: Of `torch.utils.data.DataLoader`: `num_workers`, `pin_memory`.
    """
    indices = range(rank, len(dataset), world_size)
    return DataLoader(dataset, batch_size=batch_size, sampler=indices, collate_fn=dataset.collater, **options)


def set_draw(dataset: Any, *, seed: int, epoch: int) -> None:
    """Give every data set inside `dataset` the seed and epoch of its random augmentation; others ignore it."""
    for part in getattr(dataset, "datasets", ()):
        set_draw(part, seed=seed, epoch=epoch)
    if hasattr(dataset, "set_epoch"):
        dataset.seed = seed
        dataset.set_epoch(epoch)
