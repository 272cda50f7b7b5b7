"""Batches for evaluation: samples of like size together, each sample in one batch of one process, none twice."""

import operator
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import DataLoader, default_collate

from lavis_sam import distributed
from lavis_sam.datasets.guarded import GuardedDataset, Unusable
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.memory import naming_dead_worker
from lavis_sam.signals import ignore_signals_in_worker, stop_workers

if TYPE_CHECKING:  # transformers comes with it
    from lavis_sam.evaluation.batch_memory import BatchMemory

Item = Callable[[Any, int], Any]
Collate = Callable[[list[Any]], Any]


class Batch(NamedTuple):
    """Samples that are answered together.

    Attributes:
        indices: B places in the data set.
        content: What `collate` made of the samples; None with a problem.
        problem: Why a sample cannot be used; the batch is then not answered.
    """

    indices: tuple[int, ...]
    content: Any
    problem: SamError | None


class EvaluationLoader:
    """The batches of one data set; iterating gives this process's, as LAVIS's loaders do.

    Samples are sorted by their number of images and the length of their instruction, so that a batch has little
    padding; the largest come first, so that too little memory shows at once. Which batch a sample is in depends on the
    data set, the batch size and what is done already; its answer does not depend on the batch.

    With `max_bytes` a batch has as many samples as need no more than that together, as a model's `memory` says; a
    sample that alone needs more is a batch of its own.

    Attributes:
        max_bytes: The most bytes that a batch may need, in the place of `batch_size`.
        dataset: A map-style data set. With an `annotation`, a list of `MultiImageSample`, samples have names and sizes;
            without one they are taken in the data set's order.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        max_bytes: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        item: Item | None = None,
        collate: Collate | None = None,
        **options: Any,
    ) -> None:
        """Keep the settings. No I/O happens here.

        Args:
            batch_size: The most samples in a batch of one process.
            max_bytes: The most bytes that a batch may need; goes before `batch_size`.
            rank: This process; by default the one that it is.
            world_size: How many processes share the samples; by default all.
            item: (data set, index) -> what `collate` gets; by default the data set's own item.
            collate: Makes a batch's content; by default the data set's `collater`, else PyTorch's.
            options: Of `torch.utils.data.DataLoader`: `num_workers`, `pin_memory`.
        """
        self.dataset, self.batch_size, self.max_bytes = dataset, batch_size, max_bytes
        self._memory: BatchMemory | None = None
        self._sizes: list[tuple[int, int]] = []
        self._rank = distributed.rank() if rank is None else rank
        self._world_size = distributed.world_size() if world_size is None else world_size
        self._options = options
        self._item = item or operator.getitem
        self._collate = collate or getattr(dataset, "collater", None) or default_collate

    @classmethod
    def like(cls, loader: DataLoader[Any]) -> "EvaluationLoader":
        """Return a loader of what another one loads; it gives every sample once, whatever that one's sampler does."""
        return cls(
            loader.dataset,
            loader.batch_size or 1,
            collate=loader.collate_fn,
            num_workers=loader.num_workers,
            pin_memory=loader.pin_memory,
        )

    def __len__(self) -> int:
        """Return the number of this process's batches."""
        return len(self.shares()[self._rank])

    def __iter__(self) -> Iterator[Any]:
        """Yield the contents of this process's batches.

        Raises:
            SamDataError: A sample's files cannot be used.
        """
        for batch in self.batches():
            if batch.problem is not None:
                raise batch.problem
            yield batch.content

    def shares(self, done: Collection[int] = ()) -> list[list[list[int]]]:
        """Return for each process its batches of indices.

        Args:
            done: Indices that need no answer any more.
        """
        done = set(done)
        left = [index for index in range(len(self.dataset)) if index not in done]
        left.sort(key=self._size, reverse=True)
        # No process is left without a batch while another has two samples in one.
        most = max(1, -(-len(left) // self._world_size))
        if self._memory is not None:
            batches = self._filled(left, most)
        else:
            size = min(self.batch_size, most)
            batches = [left[first : first + size] for first in range(0, len(left), size)]
        return [batches[rank :: self._world_size] for rank in range(self._world_size)]

    def measure(self, memory: "BatchMemory | None") -> None:
        """Take what samples need from a model, where there is a bound of bytes.

        Raises:
            SamConfigurationError: The model does not say it, or the data set cannot be asked without reading images.
        """
        if self.max_bytes is None or not len(self.dataset):
            return
        if memory is None or not self.samples:
            what = "this model does not say what a batch of it needs" if memory is None else "this data set has no list"
            raise SamConfigurationError(
                f"run.batch_gb_eval is {self.max_bytes / 1e9:g}, and {what}: remove it, and use run.batch_size_eval."
            )
        self._memory, self._sizes = memory, [memory.size(sample) for sample in self.samples]

    def cost(self, indices: Sequence[int]) -> int:
        """Return what a batch takes of memory, to compare it with others: bytes if there is a bound, else samples."""
        if self._memory is None:
            return len(indices)
        images, text = zip(*(self._sizes[index] for index in indices), strict=True)
        return self._memory.batch_bytes(len(indices), max(images), max(text))

    def load(self, indices: Sequence[int]) -> Batch:
        """Load a batch here, without workers."""
        dataset = GuardedDataset(self.dataset, self._item, self.name)
        return _Together(self._collate)([dataset[index] for index in indices])

    def batches(self, done: Collection[int] = ()) -> Generator[Batch, None, None]:
        """Yield this process's batches of the samples that are not `done`."""
        share = self.shares(done)[self._rank]
        if not share:
            return
        loader = DataLoader(
            GuardedDataset(self.dataset, self._item, self.name),
            batch_sampler=share,
            collate_fn=_Together(self._collate),
            worker_init_fn=ignore_signals_in_worker,
            # Otherwise making an iterator would draw from the run's own generator.
            generator=torch.Generator().manual_seed(0),
            **self._options,
        )
        batches = iter(loader)
        try:
            with naming_dead_worker(is_loading=loader.num_workers > 0):
                yield from batches
        finally:
            stop_workers(batches)

    def name(self, index: int) -> str:
        """Return what messages call a sample: its id, or its place where the data set does not say."""
        samples = self.samples
        return f"sample {samples[index].id!r}" if samples else f"sample {index} of the data set"

    def describe(self, indices: Sequence[int]) -> str:
        """Return the samples of a batch by name, and how many images the largest has."""
        names = ", ".join(self.name(index) for index in indices[:8]) + (", …" if len(indices) > 8 else "")
        samples = self.samples
        if not samples:
            return names
        return f"{names} (at most {max(len(samples[index].images) for index in indices)} images each)"

    @property
    def samples(self) -> Sequence[MultiImageSample]:
        """The samples of a data set that has them at hand; none of one that has not."""
        samples = getattr(self.dataset, "annotation", None)
        return samples if isinstance(samples, list) and samples and isinstance(samples[0], MultiImageSample) else []

    def _filled(self, ordered: Sequence[int], most: int) -> list[list[int]]:
        """Return batches of these indices, each as large as the bound and `most` allow."""
        batches: list[list[int]] = []
        images = text = 0
        for index in ordered:
            own = self._sizes[index]
            images, text = max(images, own[0]), max(text, own[1])
            if batches and len(batches[-1]) < most and self._fits(len(batches[-1]) + 1, images, text):
                batches[-1].append(index)
            else:
                batches.append([index])
                images, text = own
        return batches

    def _fits(self, samples: int, images: int, text: int) -> bool:
        if self._memory is None or self.max_bytes is None:
            return False
        return self._memory.batch_bytes(samples, images, text) <= self.max_bytes

    def _size(self, index: int) -> tuple[int, int, int]:
        if self._sizes:
            return *self._sizes[index], -index
        samples = self.samples
        if not samples:
            return 0, 0, -index
        return len(samples[index].images), len(samples[index].instruction), -index


class _Together:
    """Indices and items -> a `Batch`."""

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, pairs: list[tuple[int, Any]]) -> Batch:
        indices, items = tuple(index for index, _ in pairs), [item for _, item in pairs]
        for item in items:
            if isinstance(item, Unusable):
                return Batch(indices, None, item.error)
        try:
            return Batch(indices, self._collate(items), None)
        except SamError as error:
            return Batch(indices, None, error)
