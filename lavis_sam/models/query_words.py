"""Supervision of a Q-Former that is trained from nothing: which words are true of the image that its tokens are of.

The loss of an answer tells a Q-Former little about what it left unseen: it learns to extract the most visible thing
with every query. Here the tokens together have to hold all things, each in any of them. The head serves in training
alone: bases and adapters do not need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavis_sam.models.objectives import LossTerm, register_objective
from lavis_sam.models.patch_words import WordHead, term_of_words

if TYPE_CHECKING:
    from lavis_sam.models.language.sequence import LanguageLoss
    from lavis_sam.models.semantic_alignment import SemanticAlignment
    from lavis_sam.models.visual_path import GuidedVisualPath

# log(1 - exp(x)) has no finite value at x = 0.
_LEAST = 1e-6


class QueryWords(WordHead):
    """A linear head over the Q-Former's outputs, and what they have to say of each image together."""

    initial_bias = -6.0

    def forward(self, extracted: Tensor, sample_ids: Sequence[Any]) -> Tensor:
        """Return the binary cross-entropy of each image, summed over the words: [B].

        A word is found if at least one query finds it (a noisy or): with p_q for query q, the image has it with
        1 - prod(1 - p_q).

        Args:
            extracted: visual tokens before projection [B, Q, D_q].
            sample_ids: which sample each image is; "000017-3" is a question about the image of "000017".

        Raises:
            SamDataError: a sample that the labels do not know.
        """
        log_absent = F.logsigmoid(-self.head(extracted).float()).sum(dim=1)
        log_present = torch.log(-torch.expm1(log_absent.clamp(max=-_LEAST)))
        targets = self.targets(sample_ids, log_absent)
        return -(targets * log_present + (1 - targets) * log_absent).sum(dim=1)

    def targets(self, sample_ids: Sequence[Any], like: Tensor) -> Tensor:
        """Return 1 where a word is true of an image, else 0: [B, words], of the type of `like`."""
        targets = torch.zeros(like.shape, dtype=like.dtype)
        for row, sample_id in enumerate(sample_ids):
            for _, words in self.labels.of_sample(sample_id):
                targets[row, torch.from_numpy(words)] = 1
        return targets.to(like.device)


@register_objective("query_words", of_tokens=True)
def query_words(
    model: SemanticAlignment, visual: GuidedVisualPath, samples: Mapping[str, Any], outputs: LanguageLoss | None
) -> LossTerm:
    """Return the binary cross-entropy of the words of each image, by its visual tokens; the items are images.

    Raises:
        SamConfigurationError: the model has no head for it.
        SamDataError: a sample has several images, or no labels.
    """
    return term_of_words("query_words", model, getattr(visual, "extracted", None), samples)
