"""Step 2, adaptive weights: merge the images of a sample into the context Î that guides each of them (paper 4.2).

    s_m,j = Linear_a(I_m,j)        a_m,j = softmax(s)        Î_j = sum_m a_m,j * I_m,j

Two readings of the formula exist. The released code takes the softmax over the images at each patch and lets every
image into one context per sample; the paper's text leaves the current image out. Both are here, see `Guidance`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from lavis_sam.models.batch import ImageIndex

if TYPE_CHECKING:
    from lavis_sam.models.guidance import ResolvedGuidance


@dataclass(frozen=True)
class MergedContext:
    """The context Î that the W-former attends to.

    Attributes:
        features: Î. One per sample [B, P, D_v] when `per_image` is false, else one per real image [ΣN, P, D_v].
        per_image: whether each image has a context of its own.
        present: bool, [B] or [ΣN] like `features`: false where no image is left to guide (`others` with one real
            image); Î is zero there and so must the contextual semantics be.
        weights: adaptive weights a as they entered the sum, [B, N, P] or [ΣN, N, P], zero at images that take no
            part; None under `context: self`, where no image is weighed.
    """

    features: torch.Tensor
    per_image: bool
    present: torch.Tensor
    weights: torch.Tensor | None


class AdaptiveAdjustment(nn.Module):
    """Weigh and merge the context images.

    Args:
        guidance: the switches; `context`, `normalise` and `weighting` matter here.
        vision_width: D_v.
    """

    linear_a: nn.Linear

    def __init__(self, guidance: ResolvedGuidance, *, vision_width: int) -> None:
        super().__init__()
        self.guidance = guidance
        self._warned_about_pairs = False
        if guidance.has_linear_a:
            self.linear_a = nn.Linear(vision_width, 1)

    def forward(self, features: torch.Tensor, index: ImageIndex) -> MergedContext:
        """Merge.

        Args:
            features: patch features of the real images [ΣN, P, D_v].
            index: which image belongs to which sample.

        Returns:
            The merged context; padded images take no part in any softmax or mean.
        """
        if self.guidance.context == "self":
            everyone = torch.ones(len(features), dtype=torch.bool, device=features.device)
            return MergedContext(features, per_image=True, present=everyone, weights=None)
        self._warn_about_pairs(index)
        members = self._members(index)
        weights = self._weights(features, index, members[..., None])
        merged = torch.einsum("bcnp,bnpd->bcpd", weights, index.pad(features))
        present = members.any(dim=-1)
        if self.guidance.context == "all":
            return MergedContext(merged[:, 0], per_image=False, present=present[:, 0], weights=weights[:, 0])
        return MergedContext(
            index.pack(merged), per_image=True, present=index.pack(present), weights=index.pack(weights)
        )

    def _members(self, index: ImageIndex) -> torch.Tensor:
        """Return which images enter each context: bool [B, 1, N], or [B, N, N] without the current under `others`."""
        members = index.mask[:, None, :]
        if self.guidance.context == "all":
            return members
        current = torch.eye(members.shape[-1], dtype=torch.bool, device=members.device)
        return members & ~current

    def _weights(self, features: torch.Tensor, index: ImageIndex, members: torch.Tensor) -> torch.Tensor:
        """Weigh `members` [B, 1, N, 1] (or [B, N, N, 1]): a [B, 1, N, P] (or [B, N, N, P]), zero elsewhere."""
        if self.guidance.weighting == "average":
            count = members.sum(dim=2, keepdim=True).clamp(min=1)
            return (members / count).to(features.dtype).expand(-1, -1, -1, features.shape[1])
        scores = self.linear_a(features).squeeze(-1)
        if self.guidance.normalise == "patches":
            # The softmax of one image over its patches does not depend on the context that it enters.
            return index.pad(scores.softmax(dim=-1))[:, None].masked_fill(~members, 0.0)
        # A finite floor, so that a context without members is an even softmax (zeroed below) and never a NaN.
        scores = index.pad(scores)[:, None].masked_fill(~members, torch.finfo(scores.dtype).min)
        return scores.softmax(dim=2).masked_fill(~members, 0.0)

    def _warn_about_pairs(self, index: ImageIndex) -> None:
        """Say once that pairs cannot teach Linear_a when its softmax has a single image to choose from."""
        is_about_pairs = self.training and self.guidance.needs_three_images and index.mask.shape[1] <= 2
        if is_about_pairs and not self._warned_about_pairs:
            self._warned_about_pairs = True
            warnings.warn(
                "model.guidance: context `others` with normalise `images` gives every weight the value 1 when a sample "
                "has two images, so the adaptive layer cannot learn from this batch of pairs; use context `all`, "
                "normalise `patches`, or samples of three or more images",
                stacklevel=2,
            )
