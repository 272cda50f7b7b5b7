"""Samples with their images as they are stored, without tensors and so without PyTorch."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from lavis_sam.datasets.images import to_rgb
from lavis_sam.datasets.sample import MultiImageSample

if TYPE_CHECKING:
    import torch


class ImageStore(Protocol):
    """Where the images of a data set's samples are: `FolderImages`, or the shards' `ShardImages`."""

    @property
    def root(self) -> str | None:
        """The folder of the images; None where there is none."""

    def decoded(self, number: int, sample: MultiImageSample) -> Iterator[Image.Image]:
        """Yield the N images of sample `number` as RGB, so that one at a time need be in memory."""

    def image(self, number: int, sample: MultiImageSample, position: int) -> Image.Image:
        """Return one of them, whatever the others are like."""

    def nearby_order(self, count: int, generator: "torch.Generator") -> list[int]:
        """Return the numbers of all `count` samples at random, such that neighbours are read from a few places."""


class FolderImages:
    """Images that are files of their own.

    Attributes:
        root: The folder that the image paths are relative to.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)

    def decoded(self, number: int, sample: MultiImageSample) -> Iterator[Image.Image]:
        """Yield the sample's N images as RGB.

        Raises:
            SamDataError: One is missing or damaged.
        """
        return (self.image(number, sample, position) for position in range(len(sample.images)))

    def image(self, number: int, sample: MultiImageSample, position: int) -> Image.Image:
        """Return the image at a position as RGB.

        Raises:
            SamDataError: It is missing or damaged.
        """
        return to_rgb(os.path.join(self.root, sample.images[position]), f"sample {sample.id!r}")

    def nearby_order(self, count: int, generator: "torch.Generator") -> list[int]:
        """Return all numbers at random: no file is near another."""
        import torch  # which only training needs

        return torch.randperm(count, generator=generator).tolist()


@dataclass(frozen=True)
class StoredSamples:
    """Samples to look at.

    Attributes:
        annotation: The samples.
        store: Where their images are.
    """

    annotation: Sequence[MultiImageSample]
    store: ImageStore

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.annotation)

    def images(self, index: int) -> list[Image.Image]:
        """Return the sample's N images as RGB.

        Raises:
            SamDataError: One is missing or damaged.
        """
        return list(self.store.decoded(index, self.annotation[index]))
