"""Samples whose files cannot be used: handed on by a loader, because an error raised in a worker loses its class."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

from lavis_sam.datasets.problems import DamagedSampleError
from lavis_sam.errors import SamDataError, SamError

__all__ = ["DamagedSampleError", "GuardedDataset", "Unusable"]


@dataclass(frozen=True)
class Unusable:
    """In the place of a sample whose files cannot be used."""

    error: SamError

    def __post_init__(self) -> None:
        # Through its traceback an error holds on to what was read: files and pixels of the sample.
        error: BaseException | None = self.error
        while error is not None:
            error.__traceback__ = None
            error = error.__cause__ or error.__context__

    @property
    def problem(self) -> str:
        """Why it cannot be used."""
        return str(self.error)

    @property
    def tolerated(self) -> bool:
        """Whether training passes over it however many there are: damage inside a shard."""
        return isinstance(self.error, DamagedSampleError)


class GuardedDataset(Dataset[tuple[int, Any]]):
    """(index, item) of a data set, with `Unusable` for an item that raises one of our errors or an OSError."""

    def __init__(
        self,
        dataset: Any,
        item: Callable[[Any, int], Any] = operator.getitem,
        name: Callable[[int], str] | None = None,
    ) -> None:
        """Nothing is read here.

        Args:
            dataset: Map-style.
            item: (data set, index) -> item.
            name: Index -> what an error calls the sample, unless it does so already.
        """
        self.dataset, self._item, self._name = dataset, item, name

    def __getitem__(self, index: int) -> tuple[int, Any]:
        """Return the pair of an index."""
        try:
            return index, self._item(self.dataset, index)
        except SamError as error:
            return index, Unusable(self._named(error, index))
        except OSError as error:
            return index, Unusable(self._named(SamDataError(f"{error}; correct or remove the sample."), index))

    def _named(self, error: SamError, index: int) -> SamError:
        name = self._name(index) if self._name is not None else ""
        return error if name in str(error) else type(error)(f"{name}: {error}")
