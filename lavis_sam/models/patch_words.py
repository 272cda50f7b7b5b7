"""Dense supervision of a vision encoder that is trained from nothing: which words are true of which patch.

A caption tells a ViT little about where things are; the masks of a synthesised data set tell it of every patch. The
head serves in training alone: bases and adapters do not need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lavis_sam.datasets.patch_words import PatchLabels
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.objectives import LossTerm, register_objective

if TYPE_CHECKING:
    from lavis_sam.models.language.sequence import LanguageLoss
    from lavis_sam.models.semantic_alignment import SemanticAlignment
    from lavis_sam.models.visual_path import PatchFeatures, VisualPath


class WordHead(nn.Module):
    """A linear head that says which words are true, and the labels that it learns from.

    Attributes:
        initial_bias: The bias that the head starts with. Of hundreds of words few are true: so the loss starts near its
            floor, and not at 0.7 a word.
    """

    initial_bias: float

    def __init__(self, width: int, labels: PatchLabels) -> None:
        """Start with all words unlikely.

        Args:
            width: of what the head reads, D_v or D_q.
            labels: the words, and where they are true.
        """
        super().__init__()
        self.head = nn.Linear(width, len(labels.words))
        nn.init.constant_(self.head.bias, self.initial_bias)
        self.labels = labels


class PatchWords(WordHead):
    """A linear head over patch features, and what it has to say of each image."""

    initial_bias = -5.0

    def forward(self, features: Tensor, sample_ids: Sequence[Any]) -> Tensor:
        """Return the binary cross-entropy of each image, [B]: summed over the words, averaged over the patches.

        Args:
            features: patch features with CLS [B, P, D_v].
            sample_ids: which sample each image is; "000017-3" is a question about the image of "000017".

        Raises:
            SamDataError: a sample that the labels do not know.
        """
        logits = self.head(features[:, 1:])
        losses = F.binary_cross_entropy_with_logits(logits, self.targets(sample_ids, logits), reduction="none")
        return losses.sum(dim=2).mean(dim=1)

    def targets(self, sample_ids: Sequence[Any], like: Tensor) -> Tensor:
        """Return 1 where a word is true of a patch, else 0: [B, P - 1, words], of the type of `like`."""
        targets = torch.zeros(like.shape, dtype=like.dtype)
        for row, sample_id in enumerate(sample_ids):
            for patches, words in self.labels.of_sample(sample_id):
                inside = torch.from_numpy(patches).nonzero()
                targets[row, inside, torch.from_numpy(words)] = 1
        return targets.to(like.device)


@register_objective("patch_words", of_features=True)
def patch_words(
    model: SemanticAlignment,
    visual: VisualPath | PatchFeatures,
    samples: Mapping[str, Any],
    outputs: LanguageLoss | None,
) -> LossTerm:
    """Return the binary cross-entropy of the words of each patch; the items are images.

    Raises:
        SamConfigurationError: the model has no head for it.
        SamDataError: a sample has several images, or no labels.
    """
    return term_of_words("patch_words", model, getattr(visual, "features", None), samples)


def term_of_words(name: str, model: SemanticAlignment, values: Tensor | None, samples: Mapping[str, Any]) -> LossTerm:
    """Return what the injected head `name` says of a batch of single images; the items are images.

    Args:
        name: the objective, and the injection that brings its head.
        values: what the head reads of each image, [B, ·, D]; None where the visual path did not keep it.

    Raises:
        SamConfigurationError: the model has no head for it.
        SamDataError: a sample has several images, or no labels.
    """
    head = getattr(model, name, None)
    if head is None or values is None:
        raise SamConfigurationError(f"model.objectives.{name} needs model.inject.{name}: {{data: DIR}}")
    ids = samples["sample_id"]
    if len(values) != len(ids):
        raise SamDataError(f"{len(values)} images in {len(ids)} samples; {name} wants one image a sample.")
    return LossTerm(head(values, ids).sum(), len(ids))
