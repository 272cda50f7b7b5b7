"""The map-style data set: a sample of the unified format -> tensors and texts. Works without LAVIS."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.images import to_rgb
from lavis_sam.datasets.sample import MultiImageSample

# Random augmentation draws from a generator seeded by these four numbers, mixed by large odd factors.
_SEED_FACTOR, _EPOCH_FACTOR, _INDEX_FACTOR = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_REPEAT_FACTOR = 0x27D4EB2F165667C5


def unprocessed(value: Any) -> Any:
    """In the place of a processor, where images and texts are wanted as they are."""
    return value


class MultiImageDataset(Dataset[dict[str, Any]]):
    """Samples of the unified annotation format, with the interface of LAVIS's `BaseDataset`.

    An item depends on (seed, epoch, index) alone: never on the number of workers or on what was drawn before, so a run
    can be repeated and continued exactly.

    Attributes:
        annotation: The samples (LAVIS's name).
        seed: Seed of the random augmentation.
        epoch: Set by `set_epoch`; items of different epochs are augmented differently.
        sample_ratio: The set's share in a mixture (LAVIS's name); None: each sample once an epoch.
    """

    def __init__(
        self,
        vis_processor: Callable[[Image.Image], torch.Tensor],
        text_processor: Callable[[str], str],
        vis_root: str | os.PathLike[str],
        ann_paths: Sequence[str | os.PathLike[str]],
        seed: int = 0,
        read: Callable[[Sequence[str | os.PathLike[str]], str | os.PathLike[str]], list[MultiImageSample]] = (
            read_annotations
        ),
    ) -> None:
        """Read the annotations.

        Args:
            vis_processor: PIL image -> tensor [3, H, W].
            text_processor: Text -> text.
            vis_root: The folder that the image paths are relative to.
            ann_paths: The annotation files.
            seed: Seed of the random augmentation.
            read: Annotation files and root -> samples.

        Raises:
            SamDataError: Whatever `read` refuses; by default any problem in the annotations, see `read_annotations`.
        """
        self.vis_root = str(vis_root)
        self.annotation: list[MultiImageSample] = read(ann_paths, vis_root)
        self.set_processors(vis_processor, text_processor)
        self.seed = seed
        self.epoch = 0
        self.sample_ratio: float | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.annotation)

    def set_processors(
        self, vis_processor: Callable[[Image.Image], torch.Tensor], text_processor: Callable[[str], str]
    ) -> None:
        """Replace both processors."""
        self.vis_processor, self.text_processor = vis_processor, text_processor

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose augmentation the next items get; call it before a loader starts its workers."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample's `image` [3, N, H, W], `text_input`, `text_output`, `sample_id` and `references`."""
        return self.item(index)

    def item(self, index: int, repeat: int = 0) -> dict[str, Any]:
        """As `self[index]`; with another `repeat`, augmented differently within the same epoch."""
        sample = self.annotation[index]
        return self.item_of(sample, self.images(index), self._augmentation_seed(index, repeat))

    def images(self, index: int) -> list[Image.Image]:
        """The sample's N images as RGB, before any processor.

        Raises:
            SamDataError: One is missing or damaged.
        """
        sample = self.annotation[index]
        return [to_rgb(Path(self.vis_root) / name, f"sample {sample.id!r}") for name in sample.images]

    def item_of(self, sample: MultiImageSample, images: Sequence[Image.Image], seed: int) -> dict[str, Any]:
        """The item of a sample whose images are at hand; `seed` decides the augmentation."""
        with _drawing_from(seed):
            tensors = [self.vis_processor(image) for image in images]
        return {
            "image": torch.stack(tensors, dim=1),
            "text_input": self.text_processor(sample.instruction),
            "text_output": self.text_processor(sample.output),
            "sample_id": sample.id,
            "references": list(sample.references),
        }

    def collater(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Pad samples to a batch; see `collate_multi_image`."""
        return collate_multi_image(samples)

    def _augmentation_seed(self, index: int, repeat: int) -> int:
        mixed = self.seed * _SEED_FACTOR + self.epoch * _EPOCH_FACTOR + index * _INDEX_FACTOR + repeat * _REPEAT_FACTOR
        return mixed % 2**63


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
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
