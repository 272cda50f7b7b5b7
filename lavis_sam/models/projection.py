"""Step 5, projection: the visual tokens of all images of a sample, side by side, in the language model's space."""

import torch
from torch import nn

from lavis_sam.models.batch import ImageIndex


def project(llm_proj: nn.Linear, tokens: torch.Tensor, index: ImageIndex | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Project visual tokens and lay them out in image order.

    Args:
        llm_proj: Linear(D_q, D_llm).
        tokens: guided visual tokens of the real images [ΣN, Q, D_q].
        index: where the images belong; None for a 4-D batch, one image a sample.

    Returns:
        Visual tokens [B, N*Q, D_llm] and their mask, bool [B, N*Q]: false (and zero) at padded images.
    """
    projected = llm_proj(tokens)
    if index is None:
        return projected, torch.ones(projected.shape[:2], dtype=torch.bool, device=projected.device)
    mask = index.mask.repeat_interleave(tokens.shape[1], dim=1)
    return index.pad(projected).flatten(1, 2), mask
