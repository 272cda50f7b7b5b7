"""Samples with their own numbers of images -> one padded batch (DESIGN: the batch contract)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import default_collate

from lavis_sam.errors import SamDataError

# Keys that hold one entry a sample and are handed on as lists.
_LISTS = ("text_input", "text_output", "sample_id", "references")


def collate_multi_image(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pad samples to the batch's largest number of images.

    Args:
        samples: B dictionaries with `image` [3, N_i, H, W] (float), `text_input`, `text_output`, `sample_id` and
            `references`; a key that every sample lacks is left out.

    Returns:
        `image` [B, 3, N, H, W] with zeros in the padding, `image_mask` bool [B, N], and the other keys as lists.

    Raises:
        SamDataError: An empty batch, a sample without images, images of different sizes, or a key that only some
            samples have.
    """
    if not samples:
        raise SamDataError("collate: found 0 samples, wanted at least one.")
    sizes: dict[tuple[int, ...], Any] = {}
    for sample in samples:
        image, name = sample["image"], sample.get("sample_id")
        if image.dim() != 4 or image.shape[0] != 3 or image.shape[1] < 1:
            raise SamDataError(f"sample {name!r}: image has shape {tuple(image.shape)}, wanted (3, N >= 1, H, W).")
        sizes.setdefault(tuple(image.shape[2:]), name)
    if len(sizes) > 1:
        found = ", ".join(f"{height}x{width} (sample {name!r})" for (height, width), name in sizes.items())
        raise SamDataError(
            f"images of different sizes in one batch: {found}. Give all data sets of a split one "
            "vis_processor.*.image_size."
        )
    counts = torch.tensor([sample["image"].shape[1] for sample in samples])
    largest = int(counts.max())
    batch: dict[str, Any] = {
        # PyTorch's own way of stacking: in a worker, straight into memory that it shares with the main process.
        "image": default_collate([_padded(sample["image"], largest) for sample in samples]),
        "image_mask": torch.arange(largest)[None, :] < counts[:, None],
    }
    for key in _LISTS:
        having = [sample for sample in samples if key in sample]
        if having and len(having) < len(samples):
            raise SamDataError(f"collate: {key!r} is in {len(having)} of {len(samples)} samples, wanted all or none.")
        if having:
            batch[key] = [sample[key] for sample in samples]
    return batch


def _padded(image: torch.Tensor, largest: int) -> torch.Tensor:
    """Pad [3, N_i, H, W] to [3, N, H, W]."""
    missing = largest - image.shape[1]
    if missing == 0:
        return image
    channels, _, height, width = image.shape
    return torch.cat([image, image.new_zeros(channels, missing, height, width)], dim=1)
