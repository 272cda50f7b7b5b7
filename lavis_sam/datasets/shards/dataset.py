"""The data set that reads from shards. It stands alone because the files beside it read shards without tensors."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from lavis_sam.datasets.annotations import accept
from lavis_sam.datasets.image_check import Check
from lavis_sam.datasets.multi_image import MultiImageDataset, unprocessed
from lavis_sam.datasets.problems import names
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.datasets.shards.index import index_shards


def open_shards(
    paths: Sequence[str | os.PathLike[str]],
    transform: Callable[[Image.Image], Any] = unprocessed,
    *,
    text_processor: Callable[[str], str] = unprocessed,
    seed: int = 0,
    check: Check = "quick",
    strict: bool = False,
    prompt: str | None = None,
) -> MultiImageDataset:
    """Open shards as a map-style data set: the same items as from a folder with the same images.

    Every sample is read by itself, by its place in the shard. Which process and which worker reads it is therefore the
    sampler's choice, and so is the position that a checkpoint keeps; `nearby_order` gives the sampler a random order
    that still reads the disk in long stretches.

    What is damaged in the tar itself is passed over here; a damaged image is noticed when its sample is read, and
    raises `DamagedSampleError`.

    Args:
        paths: Folders of shards, or tar files.
        transform: PIL image -> tensor [3, H, W].
        text_processor: Text -> text, for instructions and answers.
        seed: Seed of the random augmentation.
        check: "full" compares the shards' SHA-256 first; see `index_shards`.
        strict: Any damage is an error; otherwise damaged samples are passed over, and the log says how many.
        prompt: The instruction of samples that bring none.

    Raises:
        SamDataError: No shards, a member that may do harm, no whole sample, or, if `strict`, any damage.
    """
    index = index_shards(paths, check=check, prompt=prompt)
    samples = accept(index.report, f"shards {names(paths)}", strict=strict)
    return MultiImageDataset(samples, ShardImages(index), transform, text_processor=text_processor, seed=seed)
