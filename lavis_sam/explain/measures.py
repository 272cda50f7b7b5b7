"""Three measures of the guidance in one sample, as arrays.

    (1) adaptive weights            a, per context, image and patch
    (2) cross-attention             of the W stream, in its last layer that has one
    (3) per-image guidance          how far c_i moves when image m is taken away, and the gradient of ||c_i|| with
                                    respect to the features I_m, per patch

Throughout, i is the image that is guided and m the one that guides.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.adaptive_adjustment import MergedContext
from lavis_sam.models.batch import ImageIndex
from lavis_sam.models.q_former import QFormerBert, SelfAttention
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.visual_path import embed, guide


@dataclass(frozen=True)
class Explanation:
    """The measures of one sample; all arrays are float32. P counts CLS, which comes first.

    Attributes:
        instruction: What the images were read with.
        adaptive_weights: [N, N, P], a of image m in the context of image i. Under `context: all` the same for every i;
            under `self`, 1 for the image itself.
        cross_attention: [N, Q, P], how much each query of the W stream of image i looks at each patch position of its
            merged context, mean over the heads. None where no W stream runs (`extractor: linear`).
        cross_attention_layer: The layer it is from, counted from 1.
        is_cross_attention_shared: Whether it lies below layer l with one context per sample: the same for every i then.
        semantics_norm: [N], ||c_i||. All zero before training, as Linear_c starts at zero.
        masked_change: [N, N], ||c_i - c_i without image m||; 0 for m = i, since without an image nothing is guided.
        gradient: [N, N, P], length over D_v of the gradient of ||c_i|| with respect to each patch of I_m.
    """

    instruction: str
    adaptive_weights: np.ndarray
    cross_attention: np.ndarray | None
    cross_attention_layer: int | None
    is_cross_attention_shared: bool
    semantics_norm: np.ndarray
    masked_change: np.ndarray
    gradient: np.ndarray

    @property
    def has_guidance(self) -> bool:
        """Whether anything guides; not before training (Linear_c starts at zero), nor where no image has a context."""
        return bool(self.semantics_norm.any())

    def as_dict(self) -> dict[str, Any]:
        """Return what fits a small JSON file: numbers per image and pair of images; patches are in the arrays."""
        return {
            "instruction": self.instruction,
            "has_guidance": self.has_guidance,
            "semantics_norm": self.semantics_norm,
            "masked_change": self.masked_change,
            "mean_adaptive_weight": self.adaptive_weights.mean(axis=-1),
            "gradient_norm": np.linalg.norm(self.gradient, axis=-1),
            "cross_attention_layer": self.cross_attention_layer,
            "is_cross_attention_shared": self.is_cross_attention_shared,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name; those that do not exist are left out."""
        names = ("adaptive_weights", "cross_attention", "semantics_norm", "masked_change", "gradient")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def explain_sample(model: SemanticAlignment, images: Tensor, instruction: str) -> Explanation:
    """Measure the guidance in one sample. Deterministic; the model stays as it is.

    Args:
        model: The model, with guidance.
        images: The sample's images [N, 3, H, W], prepared for the vision encoder.
        instruction: The instruction, as the Q-Former reads it.

    Raises:
        SamConfigurationError: Nothing guides in this model (`guidance.extractor: none`).
        SamDataError: There is no image, or one of a wrong size.
    """
    if not model.guidance.is_active:
        raise SamConfigurationError(
            "model.guidance.extractor is 'none', so no image guides another and there is nothing to explain; choose "
            "w_former or linear."
        )
    if images.ndim != 4 or len(images) == 0:
        raise SamDataError(f"images are {tuple(images.shape)}; wanted [N, 3, H, W] with N of at least 1.")
    with torch.no_grad():
        features = model.ln_vision(model.visual_encoder(images.to(model.device)))
        embedded, key_mask = embed(model, [instruction])
    count = len(features)
    number = last_cross_attention(model)
    features = features.float().requires_grad_()
    with torch.enable_grad(), _watch(model.Qformer.bert, number) as calls:
        guided = guide(model, features, _whole(count, model), embedded, key_mask)
        norms = guided.semantics.flatten(1).norm(dim=1)
        gradient = torch.stack([_gradient(norm, features) for norm in norms])
    semantics = guided.semantics.detach()

    @torch.no_grad()
    def without(m: int) -> Tensor:
        """Return how far every c_i is from itself without image m, [N]."""
        rest = [i for i in range(count) if i != m]
        change = torch.zeros(count, device=features.device)
        if rest:
            alone = guide(model, features.detach()[rest], _whole(len(rest), model), embedded, key_mask).semantics
            change[rest] = (semantics[rest] - alone).flatten(1).norm(dim=1)
        return change

    attention = None
    if number is not None:
        # Both streams use the layer; the W stream comes last.
        attention = _probabilities(_attention_of(model.Qformer.bert, number), calls[-1])
    return Explanation(
        instruction=instruction,
        adaptive_weights=_array(_weights(guided.context, count, features.shape[1])),
        cross_attention=None if attention is None else _array(attention.expand(count, -1, -1)),
        cross_attention_layer=number,
        is_cross_attention_shared=attention is not None and len(attention) < count,
        semantics_norm=_array(norms),
        masked_change=_array(torch.stack([without(m) for m in range(count)], dim=1)),
        gradient=_array(gradient),
    )


def last_cross_attention(model: SemanticAlignment) -> int | None:
    """Number the last layer with cross-attention that the W stream runs through; None without a W stream."""
    if model.guidance.extractor != "w_former":
        return None
    bert = model.Qformer.bert
    layers = bert.encoder.layer[: model.guidance.layer_k]
    return max(number for number, layer in enumerate(layers, start=1) if layer.has_cross_attention)


def _whole(count: int, model: SemanticAlignment) -> ImageIndex:
    """Return one sample with `count` real images."""
    return ImageIndex.from_mask(torch.ones(1, count, dtype=torch.bool, device=model.device))


def _gradient(norm: Tensor, features: Tensor) -> Tensor:
    """Return the length of a number's gradient with respect to each patch, [N, P]; 0 where nothing depends on it."""
    (gradient,) = torch.autograd.grad(norm, features, retain_graph=True, allow_unused=True)
    return torch.zeros(features.shape[:2], device=features.device) if gradient is None else gradient.norm(dim=-1)


def _weights(context: MergedContext, count: int, patches: int) -> Tensor:
    """Return adaptive weights as [N, N, P], whatever the kind of context."""
    if context.weights is None:
        return torch.eye(count)[:, :, None].expand(-1, -1, patches)
    return context.weights.expand(count, -1, -1, -1)[:, 0] if not context.per_image else context.weights


@contextmanager
def _watch(bert: QFormerBert, number: int | None) -> Iterator[list[tuple[Any, ...]]]:
    """Note what the cross-attention of layer `number` is called with."""
    calls: list[tuple[Any, ...]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        calls.append(inputs)

    if number is None:
        yield calls
        return
    hook = _attention_of(bert, number).register_forward_pre_hook(note)
    try:
        yield calls
    finally:
        hook.remove()


def _attention_of(bert: QFormerBert, number: int) -> SelfAttention:
    """Return the cross-attention of layer `number`, counted from 1."""
    layer: Any = bert.encoder.layer[number - 1]
    return layer.crossattention.self


@torch.no_grad()
def _probabilities(attention: SelfAttention, call: tuple[Any, ...]) -> Tensor:
    """Return attention probabilities of a call, [rows, Q, P], mean over the heads. (SDPA does not give them.)"""
    hidden, source, _, source_index = call
    query, key = attention.split_heads(attention.query(hidden)), attention.split_heads(attention.key(source))
    if source_index is not None:
        key = key[source_index]
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return scores.softmax(dim=-1).mean(dim=1)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy().copy()
