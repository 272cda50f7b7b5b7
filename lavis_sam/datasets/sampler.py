"""The order of training samples over one or several data sets: which index comes when, by the epoch alone.

An order is computed whole at the start of an epoch, the same on every process. So the number of processes and workers
changes nothing, and a position in it is a number: whoever continues a run asks for the same order and begins there.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch.utils.data import ConcatDataset, Dataset

from lavis_sam.config.names import unknown_name
from lavis_sam.config.run_settings import BATCHINGS
from lavis_sam.datasets.buckets import bucketed_batches, sample_sizes
from lavis_sam.errors import SamConfigurationError


class EpochOrder(Protocol):
    """Indices of an epoch; consecutive runs of a global batch's size are the global batches.

    Attributes:
        identity: What decides the order besides the epoch, as plain values: two orders of one identity are equal.
    """

    identity: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of indices of an epoch."""

    def __call__(self, epoch: int) -> list[int]:
        """Return the indices of an epoch, in order."""


class Mixture(ConcatDataset[Any]):
    """Data sets joined, map-style and shards alike, for the indices of a `MixedOrder`.

    Index i + r * len(mixture) is sample i for the r-th time in one epoch; data sets with a method `item(index, repeat)`
    (ours) augment it differently each time.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        super().__init__(datasets)

    def __getitem__(self, index: int) -> Any:
        """Return the item of an index of the order."""
        if index < 0:
            raise IndexError(f"index {index}: a mixture counts from 0")
        repeat, index = divmod(index, len(self))
        if repeat == 0:
            return super().__getitem__(index)
        number = next(number for number, end in enumerate(self.cumulative_sizes) if index < end)
        dataset: Any = self.datasets[number]
        within = index - (self.cumulative_sizes[number - 1] if number else 0)
        return dataset.item(within, repeat) if hasattr(dataset, "item") else dataset[within]


class MixedOrder:
    """A random order over several data sets, joined as by `Mixture`.

    Without ratios an epoch has every sample once. With ratios it has as many samples as all sets together, of which
    each set gets its share; a small set comes round more often, a large one takes several epochs to come round, and no
    set repeats a sample before it has given all of them. A sample that comes for the r-th time in one epoch has the
    index i + r * (all samples).
    """

    def __init__(self, datasets: Sequence[Any], seed: int) -> None:
        """Read lengths and ratios.

        Args:
            datasets: Sized data sets; `sample_ratio`, if it is not None, is a set's share relative to the others', and
                `nearby_order(generator)`, if there is such a method, its own way of shuffling.
            seed: Seed of the shuffle.

        Raises:
            SamConfigurationError: Only some sets have a ratio, or one is not above 0.
        """
        self._datasets, self._seed = list(datasets), seed
        self._lengths = [len(dataset) for dataset in datasets]
        self._total = sum(self._lengths)
        ratios = _ratios(datasets)
        self._shares = self._lengths if ratios is None else _shares(ratios, self._total)
        self.identity: dict[str, Any] = {"lengths": self._lengths, "shares": self._shares, "seed": seed}

    def __len__(self) -> int:
        """Return the number of indices of an epoch: as many as all sets have samples."""
        return self._total

    def __call__(self, epoch: int) -> list[int]:
        """Return the indices of an epoch, in order."""
        streams = [iter(self._part(number, epoch)) for number in range(len(self._datasets))]
        turns = torch.repeat_interleave(torch.arange(len(streams)), torch.tensor(self._shares))
        shuffled = turns[torch.randperm(len(turns), generator=_generator(self._seed, "turns", epoch))]
        order = [next(streams[number]) for number in shuffled.tolist()]
        seen: dict[int, int] = {}
        for place, index in enumerate(order):
            repeat = seen[index] = seen.get(index, -1) + 1
            order[place] = index + repeat * self._total
        return order

    def _part(self, number: int, epoch: int) -> list[int]:
        """Return a set's share of an epoch: the next of its endless row of passes, as indices of the mixture."""
        length, share = self._lengths[number], self._shares[number]
        if not share:
            return []
        first = epoch * share
        passes = range(first // length, (first + share - 1) // length + 1)
        offset = sum(self._lengths[:number])
        row = [offset + index for turn in passes for index in self._pass(number, turn)]
        begin = first - passes[0] * length
        return row[begin : begin + share]

    def _pass(self, number: int, turn: int) -> list[int]:
        generator = _generator(self._seed, "pass", number, turn)
        nearby: Callable[[torch.Generator], list[int]] | None = getattr(self._datasets[number], "nearby_order", None)
        if nearby is not None:
            return nearby(generator)
        return torch.randperm(self._lengths[number], generator=generator).tolist()


class BucketedOrder:
    """Another order's samples, put together such that those of a global batch are of like size.

    Some dozens of global batches are sorted together by size, cut up again, and shuffled as whole batches; the last,
    smaller batch of an epoch stays the last one. Because a process takes every W-th sample of a global batch, all
    processes get about the same work.
    """

    def __init__(self, order: EpochOrder, sizes: Sequence[tuple[int, ...]], *, global_batch: int, seed: int) -> None:
        """Nothing is ordered here.

        Args:
            order: What comes together by chance.
            sizes: Of each sample (index modulo their number): number of images, length of the texts.
            global_batch: Samples in a batch over all processes.
            seed: Seed of the batches' shuffle.
        """
        self._order, self._sizes, self._batch, self._seed = order, sizes, global_batch, seed
        digest = hashlib.blake2b(repr(list(sizes)).encode(), digest_size=8).hexdigest()
        self.identity = {**order.identity, "bucketed": global_batch, "sizes": digest}

    def __len__(self) -> int:
        """Return the number of indices of an epoch."""
        return len(self._order)

    def __call__(self, epoch: int) -> list[int]:
        """Return the indices of an epoch, in order."""
        indices = self._order(epoch)
        generator = _generator(self._seed, "buckets", epoch)
        bucketed: list[int] = []
        for batches in bucketed_batches(indices, self._sizes, self._batch):
            whole = [batch for batch in batches if len(batch) == self._batch]
            shuffled = [whole[i] for i in torch.randperm(len(whole), generator=generator).tolist()]
            bucketed += [index for batch in (*shuffled, *batches[len(whole) :]) for index in batch]
        return bucketed


def training_order(datasets: Sequence[Any], *, global_batch: int, seed: int, batching: str = "shuffled") -> EpochOrder:
    """Return the order of a training run.

    Args:
        datasets: The training sets; see `MixedOrder`.
        global_batch: Samples in a batch over all processes.
        seed: Seed of the shuffle.
        batching: "shuffled", or "bucketed": batches of samples of like size, which need less padding.

    Raises:
        SamConfigurationError: An unknown batching; wrong ratios; bucketing a set that does not say its samples' sizes.
    """
    if batching not in BATCHINGS:
        raise SamConfigurationError(unknown_name("batching", batching, BATCHINGS, "run.batching"))
    order = MixedOrder(datasets, seed)
    if batching == "shuffled":
        return order
    sizes = [size for dataset in datasets for size in sample_sizes(dataset)]
    return BucketedOrder(order, sizes, global_batch=global_batch, seed=seed)


def _ratios(datasets: Sequence[Any]) -> list[float] | None:
    ratios: list[Any] = [getattr(dataset, "sample_ratio", None) for dataset in datasets]
    if all(ratio is None for ratio in ratios):
        return None
    if not all(isinstance(ratio, int | float) and 0 < ratio < float("inf") for ratio in ratios):
        raise SamConfigurationError(
            f"datasets.*.sample_ratio: found {ratios}, wanted a number above 0 for each training set, or for none."
        )
    if not all(map(len, datasets)):
        raise SamConfigurationError(
            f"datasets.*.sample_ratio: {ratios} are the ratios of sets with {list(map(len, datasets))} samples; an "
            "empty set can have no share."
        )
    return [float(ratio) for ratio in ratios]


def _shares(ratios: Sequence[float], total: int) -> list[int]:
    """Split `total` by ratio; the largest remainders get what rounding leaves."""
    exact = [total * ratio / sum(ratios) for ratio in ratios]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda number: (shares[number] - exact[number], number))
    for number in by_remainder[: total - sum(shares)]:
        shares[number] += 1
    return shares


def _generator(*key: int | str) -> torch.Generator:
    """Return a generator of its own for each key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
