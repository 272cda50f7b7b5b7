"""Cross-entropy of target tokens, block by block: the logits of many targets are never there at the same time.

A row of logits is a number for each word, 128 KB of float32 for Vicuna. The loss needs the row, its logarithms and
their gradients, so 2,000 target tokens take most of a gigabyte at once. Here it is a block's worth, however many there
are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lavis_sam.models.language.language_model import LanguageModel

BLOCK = 512
"""Target tokens of a block; so many or fewer are computed at once, and nothing is computed twice."""


def token_losses(language: LanguageModel, states: Tensor, target_ids: Tensor) -> Tensor:
    """Return the loss of each target token, float32 [target tokens].

    Where there are several blocks, the backward pass computes the logits of each one again: the head's product once
    more for each target token, a hundredth of what a 7B model does for a token.

    Args:
        language: its head makes the logits.
        states: the hidden states [target tokens, D_llm] that predict the targets.
        target_ids: int64 [target tokens].
    """

    def losses(states: Tensor, ids: Tensor) -> Tensor:
        return F.cross_entropy(language.logits(states), ids, reduction="none")

    if len(target_ids) <= BLOCK:
        return losses(states, target_ids)
    blocks = zip(states.split(BLOCK), target_ids.split(BLOCK), strict=True)
    # Nothing in a head draws at random.
    found = [checkpoint(losses, *block, use_reentrant=False, preserve_rng_state=False) for block in blocks]
    return torch.cat(found)
