"""Steps 1 to 5: from images and instructions to visual tokens, all images of a batch at once.

    1 vision   2 adaptive weights   3 W-former   4 Q-Former   5 projection

`guided_visual_path` is SAM's. Another one can take its place (`SemanticAlignment.visual_path`): a function, or a module
with parameters of its own, that gets the whole model, its language model included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from lavis_sam.models.adaptive_adjustment import MergedContext
from lavis_sam.models.batch import ImageIndex, read_features, read_images
from lavis_sam.models.w_former import add_at

if TYPE_CHECKING:
    from lavis_sam.models.semantic_alignment import SemanticAlignment


@dataclass(frozen=True)
class VisualPath:
    """What the language model sees of the images, made once and read as often as is wanted.

    Attributes:
        tokens: visual tokens [B, V, D_llm] (V = N*Q), zero at padded images.
        token_mask: bool [B, V], false at padded images.
    """

    tokens: torch.Tensor
    token_mask: torch.Tensor

    def select(self, rows: slice | Sequence[int] | torch.Tensor) -> VisualPath:
        """Keep these samples, in this order."""
        return VisualPath(self.tokens[rows], self.token_mask[rows])

    def repeat(self, count: int) -> VisualPath:
        """Give each sample `count` rows, one after another: [B, …] -> [B * count, …]."""
        return VisualPath(self.tokens.repeat_interleave(count, dim=0), self.token_mask.repeat_interleave(count, dim=0))


@dataclass(frozen=True)
class GuidedVisualPath(VisualPath):
    """SAM's visual path, with what its steps made.

    Attributes:
        index: where the real images are; None for a 4-D batch.
        features: patch features I [ΣN, P, D_v].
        context: merged context Î and adaptive weights; None without guidance.
        semantics: contextual semantics c [ΣN, S, D_q] ([ΣN, Q, D_q] under `positions: queries`); None without guidance.
        extracted: guided visual tokens before projection [ΣN, Q, D_q].
    """

    index: ImageIndex | None
    features: torch.Tensor
    context: MergedContext | None
    semantics: torch.Tensor | None
    extracted: torch.Tensor


@dataclass(frozen=True)
class PatchFeatures:
    """What step 1 made, where nothing further is wanted.

    Attributes:
        index: where the real images are; None for a 4-D batch.
        features: patch features I [ΣN, P, D_v].
    """

    index: ImageIndex | None
    features: torch.Tensor


class VisualPathModule(Protocol):
    """What steps 1 to 5 have to offer: a function or a module that turns a batch into visual tokens."""

    def __call__(self, model: SemanticAlignment, samples: dict[str, Any], instructions: list[str]) -> VisualPath:
        """Encode a batch.

        Args:
            model: the model that it serves; its parts are used, never kept.
            samples: the batch; see `read_images`, or `read_features`.
            instructions: B instructions, for the Q-Former.
        """
        ...


def guided_visual_path(model: SemanticAlignment, samples: dict[str, Any], instructions: list[str]) -> GuidedVisualPath:
    """Do steps 1 to 5 of SAM; of InstructBLIP for a 4-D batch and where nothing guides. See `VisualPathModule`."""
    features, index = look(model, samples, len(instructions))  # 1 vision
    bert, guidance = model.Qformer.bert, model.guidance
    embedded, key_mask = embed(model, instructions)
    if index is not None:
        index = index.to(model.device)
    if index is None or not guidance.is_active:
        q, q_mask = (embedded, key_mask) if index is None else (index.repeat(embedded), index.repeat(key_mask))
        extracted = bert.run_layers(1, bert.num_layers, q, q_mask, features, queries_only=True)
        return GuidedVisualPath(*project(model.llm_proj, extracted, index), index, features, None, None, extracted)

    guided = guide(model, features, index, embedded, key_mask)  # 2 adaptive weights, 3 W-former
    q = bert.run_layers(guidance.layer_l, guidance.layer_k - 1, guided.q, guided.q_mask, features)
    q = add_at(q, guided.semantics)
    extracted = bert.run_layers(  # 4 Q-Former
        guidance.layer_k, bert.num_layers, q, guided.q_mask, features, queries_only=True
    )
    tokens, token_mask = project(model.llm_proj, extracted, index)  # 5 projection
    return GuidedVisualPath(tokens, token_mask, index, features, guided.context, guided.semantics, extracted)


def look(model: SemanticAlignment, samples: dict[str, Any], batch: int) -> tuple[torch.Tensor, ImageIndex | None]:
    """Do step 1: return patch features I of the real images [ΣN, P, D_v], float32, and their index (None: 4-D batch).

    Args:
        model: its vision encoder is used, unless the batch brings features that it made before.
        samples: see `read_images`, or `read_features`.
        batch: B.

    Raises:
        SamDataError: the images or features do not fit.
    """
    if "image_features" in samples:
        features, index = read_features(samples, batch)
        return features.to(model.device, torch.float32), index
    images, index_or_none = read_images(samples, batch)
    return model.ln_vision(model.visual_encoder(images.to(model.device))), index_or_none


def embed(
    model: SemanticAlignment, instructions: list[str], queries: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Embed queries and instructions [B, S, D_q], and their mask bool [B, S] (None when nothing is padded).

    Args:
        model: its tokenizer, embeddings and, unless others are given, queries are used.
        instructions: B instructions.
        queries: other queries, [B, Q, D_q].
    """
    text = model.tokenizer(
        instructions, padding="longest", truncation=True, max_length=model.max_txt_len, return_tensors="pt"
    )
    queries = model.query_tokens if queries is None else queries
    embedded = model.Qformer.bert.embed(queries, text.input_ids.to(model.device))
    if bool(text.attention_mask.all()):
        return embedded, None
    real = text.attention_mask.bool()
    seen = torch.ones(len(real), queries.shape[1], dtype=torch.bool)
    return embedded, torch.cat((seen, real), dim=1).to(model.device)


@dataclass(frozen=True)
class Guided:
    """What steps 2 and 3 made of patch features.

    Attributes:
        q: the Q stream at the input of layer l [ΣN, S, D_q].
        q_mask: its mask, bool [ΣN, S]; None when nothing is padded.
        context: merged context Î and adaptive weights.
        semantics: contextual semantics c [ΣN, S, D_q] ([ΣN, Q, D_q] under `positions: queries`).
    """

    q: torch.Tensor
    q_mask: torch.Tensor | None
    context: MergedContext
    semantics: torch.Tensor


def guide(
    model: SemanticAlignment,
    features: torch.Tensor,
    index: ImageIndex,
    embedded: torch.Tensor,
    key_mask: torch.Tensor | None,
) -> Guided:
    """Do steps 2 and 3: from patch features to contextual semantics. Only where `guidance.is_active`.

    Args:
        model: its adaptive adjustment, extractor and Q-Former are used.
        features: patch features of the real images [ΣN, P, D_v].
        index: which image belongs to which sample.
        embedded: embedded queries and instructions [B, S, D_q], see `embed`.
        key_mask: bool [B, S], false at padded instruction tokens; None when nothing is padded.
    """
    bert = model.Qformer.bert
    context = model.adaptive_adjustment(features, index)
    q, q_mask = index.repeat(embedded), index.repeat(key_mask)
    q = bert.run_layers(1, model.guidance.layer_l - 1, q, q_mask, features)
    semantics = model.extractor(bert, embedded, key_mask, q, context, index)
    return Guided(q, q_mask, context, semantics)


def project(llm_proj: nn.Linear, tokens: torch.Tensor, index: ImageIndex | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Project visual tokens into the language model's space and lay them out in image order.

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
