"""The map-style data set: a sample of the unified format -> tensors and texts. Works without LAVIS."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset

from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.images import load_image
from lavis_sam.datasets.schema import MultiImageSample, read_annotations

# Random augmentation draws from a generator seeded by these three numbers, mixed by large odd factors.
_SEED_FACTOR, _EPOCH_FACTOR, _INDEX_FACTOR = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9


class MultiImageDataset(Dataset[dict[str, Any]]):
    """Samples of the unified annotation format, with the interface of LAVIS's `BaseDataset`.

    An item depends on (seed, epoch, index) alone: never on the number of workers or on what was drawn before, so a run
    can be repeated and continued exactly.

    Attributes:
        annotation: The samples (LAVIS's name).
        seed: Seed of the random augmentation.
        epoch: Set by `set_epoch`; items of different epochs are augmented differently.
    """

    def __init__(
        self,
        vis_processor: Callable[[Image.Image], torch.Tensor],
        text_processor: Callable[[str], str],
        vis_root: str | os.PathLike[str],
        ann_paths: Sequence[str | os.PathLike[str]],
        seed: int = 0,
    ) -> None:
        """Read the annotations.

        Args:
            vis_processor: PIL picture -> tensor [3, H, W].
            text_processor: Text -> text.
            vis_root: The folder that the picture paths are relative to.
            ann_paths: The annotation files.
            seed: Seed of the random augmentation.

        Raises:
            SamDataError: Any problem in the annotations; see `read_annotations`.
        """
        self.vis_root = str(vis_root)
        self.annotation: list[MultiImageSample] = read_annotations(ann_paths, vis_root)
        self.set_processors(vis_processor, text_processor)
        self.seed = seed
        self.epoch = 0

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
        sample = self.annotation[index]
        seed = self.seed * _SEED_FACTOR + self.epoch * _EPOCH_FACTOR + index * _INDEX_FACTOR
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            images = [self.vis_processor(load_image(Path(self.vis_root) / name, sample.id)) for name in sample.images]
        return {
            "image": torch.stack(images, dim=1),
            "text_input": self.text_processor(sample.instruction),
            "text_output": self.text_processor(sample.output),
            "sample_id": sample.id,
            "references": list(sample.references),
        }

    def collater(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Pad samples to a batch; see `collate_multi_image`."""
        return collate_multi_image(samples)
