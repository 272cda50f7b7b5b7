"""Batches of samples of like size, which need little padding; without PyTorch, so that statistics need none."""

from collections.abc import Iterator, Sequence
from typing import Any

from lavis_sam.errors import SamConfigurationError

# How many global batches are sorted together: more save more padding, fewer leave more to chance.
BUCKETED_BATCHES = 64


def bucketed_batches(
    indices: Sequence[int], sizes: Sequence[tuple[int, ...]], global_batch: int
) -> Iterator[list[list[int]]]:
    """Sort some dozens of global batches together by size, and yield these as batches again; the last may be smaller.

    Args:
        indices: An epoch's order.
        sizes: Of each sample (index modulo their number).
        global_batch: Samples in a batch over all processes.
    """
    window = BUCKETED_BATCHES * global_batch
    for first in range(0, len(indices), window):
        pool = sorted(indices[first : first + window], key=lambda index: sizes[index % len(sizes)])
        yield [pool[start : start + global_batch] for start in range(0, len(pool), global_batch)]


def sample_sizes(dataset: Any) -> list[tuple[int, int]]:
    """Return of each sample the number of images, and the characters of instruction and answer.

    Raises:
        SamConfigurationError: The data set has no `annotation` of `MultiImageSample`s.
    """
    try:
        return [(len(sample.images), len(sample.instruction) + len(sample.output)) for sample in dataset.annotation]
    except (AttributeError, TypeError) as error:
        raise SamConfigurationError(
            f"run.batching: bucketed: {type(dataset).__name__} does not say how large its samples are; use shuffled."
        ) from error
