"""Samples with their own numbers of images -> one padded batch, as `lavis_sam.models.batch` reads it."""

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
            `references`; a key that every sample lacks is left out. Or with `image_features` [N_i, P, D_v] in the place
            of `image`.

    Returns:
        `image` [B, 3, N, H, W] (or `image_features` [B, N, P, D_v]) with zeros in the padding, `image_mask` bool
        [B, N], and the other keys as lists.

    Raises:
        SamDataError: An empty batch, a sample without images, images of different sizes, or a key that only some
            samples have.
    """
    if not samples:
        raise SamDataError("collate: found 0 samples, wanted at least one.")
    if "image_features" in samples[0]:
        return _with_lists(_features(samples), samples)
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
    return _with_lists(_padded("image", [sample["image"] for sample in samples], axis=1), samples)


def _features(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pad the samples' features of images."""
    features: list[Any] = [sample.get("image_features") for sample in samples]
    shapes = {None if found is None else tuple(found.shape[1:]) for found in features}
    if len(shapes) > 1:
        raise SamDataError(
            f"features of different shapes in one batch: {sorted(map(str, shapes))}. Give all data sets of a split the "
            "same run.feature_cache."
        )
    return _padded("image_features", features, axis=0)


def _padded(key: str, tensors: Sequence[torch.Tensor], axis: int) -> dict[str, Any]:
    """Stack tensors with one entry an image along `axis`, padded there with zeros, and say which images are real."""
    counts = torch.tensor([tensor.shape[axis] for tensor in tensors])
    largest = int(counts.max())
    padded = []
    for tensor in tensors:
        lacking = list(tensor.shape)
        lacking[axis] = largest - lacking[axis]
        padded.append(torch.cat([tensor, tensor.new_zeros(lacking)], dim=axis) if lacking[axis] else tensor)
    # PyTorch's own way of stacking: in a worker, straight into memory that it shares with the main process.
    return {key: default_collate(padded), "image_mask": torch.arange(largest)[None, :] < counts[:, None]}


def _with_lists(batch: dict[str, Any], samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add the keys that are lists."""
    for key in _LISTS:
        having = [sample for sample in samples if key in sample]
        if having and len(having) < len(samples):
            raise SamDataError(f"collate: {key!r} is in {len(having)} of {len(samples)} samples, wanted all or none.")
        if having:
            batch[key] = [sample[key] for sample in samples]
    return batch
