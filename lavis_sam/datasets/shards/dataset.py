"""The data set that reads from shards."""

import os
from collections.abc import Callable, Sequence

import torch
from PIL import Image

from lavis_sam.datasets.annotations import accept
from lavis_sam.datasets.image_check import Check
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.datasets.problems import names
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.datasets.shards.index import ShardIndex, index_shards

# Neighbouring shards whose samples are shuffled together: enough to mix well, few enough to be read from few places.
_MIXED_SHARDS = 16


class ShardDataset(MultiImageDataset):
    """Samples out of tar shards, otherwise as `MultiImageDataset`: map-style, the same items for the same images.

    Every sample is read by itself, by its place in the shard. Which process and which worker reads it is therefore the
    sampler's choice, and so is the position that a checkpoint keeps; `nearby_order` gives the sampler a random order
    that still reads the disk in long stretches.

    What is damaged in the tar itself is passed over when the shards are opened; a damaged image is noticed when its
    sample is read, and raises `DamagedSampleError`.

    Attributes:
        index: The shards, the samples' places, and the report of what was passed over.
    """

    index: ShardIndex

    def __init__(
        self,
        vis_processor: Callable[[Image.Image], torch.Tensor],
        text_processor: Callable[[str], str],
        vis_root: str | os.PathLike[str] = "",
        ann_paths: Sequence[str | os.PathLike[str]] = (),
        seed: int = 0,
        check: Check = "quick",
        strict: bool = False,
    ) -> None:
        """Look the shards through.

        Args:
            vis_processor: PIL image -> tensor [3, H, W].
            text_processor: Text -> text.
            vis_root: Not used; the images are in the shards.
            ann_paths: Folders of shards, or tar files.
            seed: Seed of the random augmentation.
            check: "full" compares the shards' SHA-256 first; see `index_shards`.
            strict: Any damage is an error; otherwise damaged samples are passed over, and the log says how many.

        Raises:
            SamDataError: No shards, a member that may do harm, no whole sample, or, if `strict`, any damage.
        """

        def read(paths: Sequence[str | os.PathLike[str]], _root: str | os.PathLike[str]) -> list[MultiImageSample]:
            self.index = index_shards(paths, check=check)
            return accept(self.index.report, f"shards {names(paths)}", strict=strict)

        super().__init__(vis_processor, text_processor, vis_root, ann_paths, seed, read=read)
        self._images = ShardImages(self.index)

    def images(self, index: int) -> list[Image.Image]:
        """The sample's N images as RGB, before any processor.

        Raises:
            DamagedSampleError: One is damaged.
            SamDataError: The shard vanished.
        """
        return self._images.decoded(index)

    def nearby_order(self, generator: torch.Generator) -> list[int]:
        """All indices once, at random, such that neighbours come from a few shards.

        The shards are shuffled, and then the samples of every 16 of them together.
        """
        shards: list[list[int]] = [[] for _ in self.index.files]
        for index, place in enumerate(self.index.places):
            shards[place.shard].append(index)
        order = torch.randperm(len(shards), generator=generator).tolist()
        indices: list[int] = []
        for first in range(0, len(order), _MIXED_SHARDS):
            together = [index for shard in order[first : first + _MIXED_SHARDS] for index in shards[shard]]
            indices += [together[i] for i in torch.randperm(len(together), generator=generator).tolist()]
        return indices
