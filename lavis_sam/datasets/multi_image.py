"""The map-style data set: a sample and its images -> tensors and texts."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.stored import FolderImages, ImageStore

__all__ = ["FolderImages", "ImageStore", "MultiImageDataset", "augmentation_seed", "make_item", "unprocessed"]

# Large odd factors that mix seed, epoch, index and repeat into the seed of an item's random augmentation.
_SEED_FACTOR, _EPOCH_FACTOR, _INDEX_FACTOR = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_REPEAT_FACTOR = 0x27D4EB2F165667C5


class ImageSource(Protocol):
    """What takes the place of a data set's images and transform: other tensors of them."""

    def tensors(self, index: int, seed: int) -> dict[str, torch.Tensor]:
        """Return `image` [3, N, H, W] or `image_features` [N, P, D_v] of a sample; `seed` draws its augmentation."""
        ...


def unprocessed(value: Any) -> Any:
    """Return the value as it is, where no processor is wanted."""
    return value


class MultiImageDataset(Dataset[dict[str, Any]]):
    """Samples and their images as items, with the interface of LAVIS's `BaseDataset`.

    An item depends on (seed, epoch, index, repeat) alone: never on the number of workers or on what was drawn before,
    so a run can be repeated and continued exactly.

    Attributes:
        annotation: The samples (LAVIS's name).
        store: Where their images are.
        seed: Seed of the random augmentation.
        epoch: Set by `set_epoch`; items of different epochs are augmented differently.
        sample_ratio: The set's share in a mixture (LAVIS's name); None: each sample once an epoch.
        source: What gives the images' tensors; None: the store and the transform.
    """

    def __init__(
        self,
        samples: Sequence[MultiImageSample],
        images: ImageStore,
        transform: Callable[[Image.Image], Any] = unprocessed,
        *,
        text_processor: Callable[[str], str] = unprocessed,
        seed: int = 0,
    ) -> None:
        """Nothing is read here.

        Args:
            samples: What `read_annotations`, `read_dataset` or `index_shards` found.
            transform: PIL image -> tensor [3, H, W].
            text_processor: Text -> text, for instructions and answers.
            seed: Seed of the random augmentation.
        """
        self.annotation, self.store = list(samples), images
        self.set_processors(transform, text_processor)
        self.seed = seed
        self.epoch = 0
        self.sample_ratio: float | None = None
        self.source: ImageSource | None = None

    @property
    def vis_root(self) -> str | None:
        """The folder that the image paths are relative to (LAVIS's name); None where the images are in shards."""
        return self.store.root

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.annotation)

    def set_processors(self, vis_processor: Callable[[Image.Image], Any], text_processor: Callable[[str], str]) -> None:
        """Replace the transform of images and the processor of texts (LAVIS's names)."""
        self.vis_processor, self.text_processor = vis_processor, text_processor

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose augmentation the next items get; call it before a loader starts its workers."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the sample's `image` [3, N, H, W], `text_input`, `text_output`, `sample_id` and `references`."""
        return self.item(index)

    def item(self, index: int, repeat: int = 0) -> dict[str, Any]:
        """Return `self[index]`; with another `repeat`, augmented differently within the same epoch."""
        sample = self.annotation[index]
        seed = augmentation_seed(self.seed, self.epoch, index, repeat)
        if self.source is not None:
            return self.source.tensors(index, seed) | text_item(sample, self.text_processor)
        images = self.store.decoded(index, sample)
        return make_item(sample, images, self.vis_processor, self.text_processor, seed)

    def images(self, index: int) -> list[Image.Image]:
        """Return the sample's N images as RGB, before the transform.

        Raises:
            SamDataError: One is missing or damaged.
        """
        return list(self.store.decoded(index, self.annotation[index]))

    def nearby_order(self, generator: torch.Generator) -> list[int]:
        """Return all indices once, at random, in an order that the store reads well."""
        return self.store.nearby_order(len(self), generator)

    def collater(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Pad samples to a batch; see `collate_multi_image`."""
        return collate_multi_image(samples)


def augmentation_seed(seed: int, epoch: int, index: int, repeat: int = 0) -> int:
    """Return the seed of an item's random augmentation."""
    return (seed * _SEED_FACTOR + epoch * _EPOCH_FACTOR + index * _INDEX_FACTOR + repeat * _REPEAT_FACTOR) % 2**63


def make_item(
    sample: MultiImageSample,
    images: Iterable[Image.Image],
    transform: Callable[[Image.Image], Any],
    text_processor: Callable[[str], str],
    seed: int,
) -> dict[str, Any]:
    """Return `image` [3, N, H, W], `text_input`, `text_output`, `sample_id` and `references` of a sample.

    Args:
        images: Its N images, RGB.
        transform: PIL image -> tensor [3, H, W].
        text_processor: Text -> text.
        seed: Of what `transform` draws at random.
    """
    with drawing_from(seed):
        tensors = [transform(image) for image in images]
    return {"image": torch.stack(tensors, dim=1), **text_item(sample, text_processor)}


def text_item(sample: MultiImageSample, text_processor: Callable[[str], str]) -> dict[str, Any]:
    """Return what an item holds beside the images: `text_input`, `text_output`, `sample_id` and `references`."""
    return {
        "text_input": text_processor(sample.instruction),
        "text_output": text_processor(sample.output),
        "sample_id": sample.id,
        "references": list(sample.references),
    }


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Seed the generators that LAVIS's processors draw from, and leave them as they were.

    They are torch's, NumPy's and Python's own. (`torch.random.fork_rng` alone takes longer than all of this.)
    """
    before = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
