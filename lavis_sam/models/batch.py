"""The batch contract of the model: which images are real, and how ragged samples share one tensor.

Inside the model only the real images exist. They stand one after another, sample by sample, in tensors whose first
dimension is written ΣN, so that padding costs nothing and cannot leak anywhere; it returns where the language model
needs a rectangle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, overload

import torch

from lavis_sam.errors import SamDataError


@dataclass(frozen=True)
class ImageIndex:
    """Where the real images of a batch are.

    Attributes:
        mask: bool [B, N], true at real images.
        sample: long [ΣN], the sample of each real image.
        position: long [ΣN], its place within the sample.
        is_full: whether every place holds a real image; ΣN = B * N then, and padding is a reshape.
    """

    mask: torch.Tensor
    sample: torch.Tensor
    position: torch.Tensor
    is_full: bool

    @classmethod
    def from_mask(cls, mask: torch.Tensor) -> "ImageIndex":
        """Index the real images of `mask`, bool [B, N].

        Raises:
            SamDataError: a sample has no real image.
        """
        counts = mask.sum(dim=1)
        if mask.shape[1] == 0 or bool((counts == 0).any()):
            empty = (counts == 0).nonzero().flatten().tolist()
            raise SamDataError(
                f"image_mask of shape {tuple(mask.shape)} leaves sample(s) {empty} of the batch without an image; "
                "every sample needs at least one"
            )
        sample, position = mask.nonzero(as_tuple=True)
        return cls(mask, sample, position, is_full=len(sample) == mask.numel())

    def to(self, device: torch.device) -> "ImageIndex":
        """Return the same index on another device."""
        return ImageIndex(self.mask.to(device), self.sample.to(device), self.position.to(device), self.is_full)

    @overload
    def repeat(self, per_sample: torch.Tensor) -> torch.Tensor: ...
    @overload
    def repeat(self, per_sample: None) -> None: ...
    def repeat(self, per_sample: torch.Tensor | None) -> torch.Tensor | None:
        """Give each real image its sample's row: [B, ...] -> [ΣN, ...]; None stays None."""
        return None if per_sample is None else per_sample[self.sample]

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """Keep the real images: [B, N, ...] -> [ΣN, ...]."""
        return padded.flatten(0, 1) if self.is_full else padded[self.mask]

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """Give padded images zeros: [ΣN, ...] -> [B, N, ...]."""
        if self.is_full:
            return packed.unflatten(0, self.mask.shape)
        padded = packed.new_zeros((*self.mask.shape, *packed.shape[1:]))
        return padded.index_put((self.sample, self.position), packed)


def read_images(samples: dict[str, Any], batch: int) -> tuple[torch.Tensor, ImageIndex | None]:
    """Take the images out of a batch.

    Args:
        samples: a batch with "image", float [B, 3, N, H, W] (LAVIS's video layout) or [B, 3, H, W] for one image each,
            and optionally "image_mask", bool [B, N].
        batch: B, as the texts of the batch have it.

    Returns:
        The real images [ΣN, 3, H, W], and their index; None for a 4-D batch, which knows no guidance.

    Raises:
        SamDataError: "image" is missing or has another rank, N = 0, B differs, or the mask does not fit.
    """
    images = samples.get("image")
    if not isinstance(images, torch.Tensor) or images.ndim not in (4, 5) or images.shape[1] != 3:
        found = tuple(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
        raise SamDataError(
            f'samples["image"] is {found}; expected a tensor [B, 3, N, H, W] for several images or [B, 3, H, W] for one'
        )
    if len(images) != batch or batch == 0:
        raise SamDataError(
            f'samples["image"] has shape {tuple(images.shape)}, B = {len(images)}, but the batch has {batch} '
            "instructions; both need the same B >= 1"
        )
    if images.ndim == 4:
        return images, None
    expected = (images.shape[0], images.shape[2])
    if expected[1] == 0:
        raise SamDataError(f'samples["image"] has shape {tuple(images.shape)}: N = 0; every sample needs an image')
    mask = samples.get("image_mask")
    if mask is None:
        mask = torch.ones(expected, dtype=torch.bool, device=images.device)
    if tuple(mask.shape) != expected:
        raise SamDataError(
            f'samples["image_mask"] has shape {tuple(mask.shape)}; images {tuple(images.shape)} need '
            f"[B, N] = {expected}"
        )
    index = ImageIndex.from_mask(mask.to(device=images.device, dtype=torch.bool))
    return index.pack(images.transpose(1, 2)), index


def read_features(samples: dict[str, Any], batch: int) -> tuple[torch.Tensor, ImageIndex]:
    """Take patch features, which were computed before, out of a batch.

    Args:
        samples: a batch with "image_features" [B, N, P, D_v] and "image_mask", bool [B, N].
        batch: B, as the texts of the batch have it.

    Returns:
        The features of the real images [ΣN, P, D_v], and their index.

    Raises:
        SamDataError: one is missing, or their shapes do not fit.
    """
    features: Any = samples.get("image_features")
    mask: Any = samples.get("image_mask")
    shapes = [tuple(part.shape) if isinstance(part, torch.Tensor) else None for part in (features, mask)]
    if shapes[0] is None or len(shapes[0]) != 4 or shapes[1] != shapes[0][:2] or len(features) != batch or not batch:
        raise SamDataError(
            f'samples["image_features"] and ["image_mask"] have the shapes {shapes[0]} and {shapes[1]}; a batch of '
            f"{batch} instructions needs [B, N, P, D_v] and [B, N] with the same B >= 1"
        )
    index = ImageIndex.from_mask(mask.to(device=features.device, dtype=torch.bool))
    return index.pack(features), index


def read_targets(samples: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Take instructions and targets out of a training batch, B of each.

    Raises:
        SamDataError: one is missing or not a list of strings, or their numbers differ.
    """
    instructions = _read_texts(samples, "text_input")
    targets = _read_texts(samples, "text_output")
    if len(instructions) != len(targets):
        raise SamDataError(
            f'the batch has {len(instructions)} texts in "text_input" and {len(targets)} in "text_output"; both need B'
        )
    return instructions, targets


def read_prompts(samples: dict[str, Any], default: str) -> list[str]:
    """Take the B prompts out of a batch for generation.

    Args:
        samples: the batch; "prompt" is one string for all or a list of B, "text_input" serves when it is absent.
        default: the model's own prompt, when the batch has neither.

    Raises:
        SamDataError: the number of prompts differs from B.
    """
    images = samples.get("image", samples.get("image_features"))
    batch = len(images) if isinstance(images, torch.Tensor) else 0
    key = next((key for key in ("prompt", "text_input") if samples.get(key) is not None), None)
    if key is None or isinstance(samples[key], str):
        return [default if key is None else samples[key]] * batch
    prompts = _read_texts(samples, key)
    if len(prompts) != batch:
        raise SamDataError(
            f'samples["{key}"] holds {len(prompts)} prompts for a batch of B = {batch} samples; give B or one'
        )
    return prompts


def _read_texts(samples: dict[str, Any], key: str) -> list[str]:
    """Return a batch's list of strings under `key`."""
    texts = samples.get(key)
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        found = f"a {type(texts).__name__}" if key in samples else "missing"
        raise SamDataError(f'samples["{key}"] is {found}; expected a list of B strings')
    return list(texts)


def to_device(samples: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the batch with its tensors on `device`; lists stay where they are."""
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for key, value in samples.items()
    }
