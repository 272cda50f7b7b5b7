"""Several data sets as one."""

from collections.abc import Iterable
from typing import Any

from torch.utils.data import ConcatDataset, Dataset


class Mixture(ConcatDataset[Any]):
    """Data sets joined, map-style and shards alike, for the indices of a `MixedOrder`.

    Index i + r * len(mixture) is sample i for the r-th time in one epoch; data sets with a method `item(index, repeat)`
    (ours) augment it differently each time.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        super().__init__(datasets)

    def __getitem__(self, index: int) -> Any:
        """The item of an index of the order."""
        if index < 0:
            raise IndexError(f"index {index}: a mixture counts from 0")
        repeat, index = divmod(index, len(self))
        if repeat == 0:
            return super().__getitem__(index)
        number = next(number for number, end in enumerate(self.cumulative_sizes) if index < end)
        dataset: Any = self.datasets[number]
        within = index - (self.cumulative_sizes[number - 1] if number else 0)
        return dataset.item(within, repeat) if hasattr(dataset, "item") else dataset[within]
