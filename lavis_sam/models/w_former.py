"""Step 3: contextual semantics c_i for each image, extracted from the merged context (paper 4.1).

The W-former runs the instruction and the queries through the frozen Q-Former's own layers, but lets them look at Î:

    layer l input         w^l := w^l + Linear_h(q_i^l)
    layer k output        c_i  = Linear_c(w^{k+1})

Only the two linear layers are the W-former's own; they start at zero, so that training starts from InstructBLIP
exactly. `EXTRACTORS` names it and what may stand in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from lavis_sam.models.adaptive_adjustment import MergedContext
from lavis_sam.models.batch import ImageIndex
from lavis_sam.models.q_former import QFormerBert

if TYPE_CHECKING:
    from lavis_sam.models.guidance import ResolvedGuidance


class BuildExtractor(Protocol):
    """The constructor of an extractor: of the guidance, D_v and D_q."""

    def __call__(self, guidance: ResolvedGuidance, *, vision_width: int, width: int) -> nn.Module:
        """Build it; its `forward` is like `WFormer.forward`."""
        ...


@dataclass(frozen=True)
class ExtractorEntry:
    """An extractor that `guidance.extractor` may name.

    Attributes:
        module: its name in the model, with which the names of its parameters begin.
        build: its class.
    """

    module: str
    build: BuildExtractor


EXTRACTORS: dict[str, ExtractorEntry] = {}


def register_extractor(name: str, *, module: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Make a class an extractor: `guidance.extractor: name` builds it, as the model's attribute `module`."""

    def register(build: type[nn.Module]) -> type[nn.Module]:
        EXTRACTORS[name] = ExtractorEntry(module, build)
        return build

    return register


def sam_modules() -> tuple[str, ...]:
    """Return the names of SAM's own modules in the model, with which the names of their parameters begin."""
    return ("adaptive_adjustment", *(entry.module for entry in EXTRACTORS.values()))


def is_trained(model: nn.Module) -> bool | None:
    """Return whether SAM's layers add something, which they do not before training; None for a model that has none."""
    outputs = [parameter for name, parameter in model.named_parameters() if name.split(".")[-2:-1] == ["linear_c"]]
    return any(bool(parameter.any()) for parameter in outputs) if outputs else None


def zero_linear(width_in: int, width_out: int) -> nn.Linear:
    """Return a linear layer that starts as the zero map."""
    layer = nn.Linear(width_in, width_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@register_extractor("w_former", module="w_former")
class WFormer(nn.Module):
    """The W stream.

    Args:
        vision_width: D_v; not used.
        width: D_q.
    """

    def __init__(self, guidance: ResolvedGuidance, *, vision_width: int, width: int) -> None:
        super().__init__()
        self.guidance = guidance
        self.linear_h = zero_linear(width, width)
        self.linear_c = zero_linear(width, width)

    def forward(
        self,
        q_former: QFormerBert,
        embedded: torch.Tensor,
        key_mask: torch.Tensor | None,
        initial: torch.Tensor,
        context: MergedContext,
        index: ImageIndex,
    ) -> torch.Tensor:
        """Distil the contextual semantics.

        Args:
            q_former: the frozen layers that both streams share.
            embedded: embedded queries and instruction [B, S, D_q].
            key_mask: bool [B, S] or None, see `QFormerBert.run_layers`.
            initial: h_i = q_i^l, the Q stream at the input of layer l, [ΣN, S, D_q].
            index: which image belongs to which sample.

        Returns:
            c [ΣN, S, D_q], or [ΣN, Q, D_q] when only query positions are guided; zero where no context is present.
        """
        layer_l, layer_k = self.guidance.layer_l, self.guidance.layer_k
        queries = q_former.num_queries if self.guidance.positions == "queries" else None
        rows = index.sample
        image_mask = None if key_mask is None else key_mask[rows]
        # Below layer l nothing of image i is in its W stream: with one Î per sample, the sample's images share it.
        if context.per_image:
            w = q_former.run_layers(1, layer_l - 1, embedded[rows], image_mask, context.features)
        else:
            w = q_former.run_layers(1, layer_l - 1, embedded, key_mask, context.features)[rows]
        w = add_at(w, self.linear_h(initial[:, :queries]))
        w = q_former.run_layers(
            layer_l,
            layer_k,
            w,
            image_mask,
            context.features,
            features_index=None if context.per_image else rows,
            queries_only=queries is not None,
        )
        present = context.present if context.per_image else context.present[rows]
        return self.linear_c(w) * present[:, None, None]


@register_extractor("linear", module="linear_extractor")
class LinearExtractor(nn.Module):
    """The control of Table 3 row 4: c_i from one linear layer on the mean of Î over its patches."""

    def __init__(self, guidance: ResolvedGuidance, *, vision_width: int, width: int) -> None:
        super().__init__()
        self.guidance = guidance
        self.linear_c = zero_linear(vision_width, width)

    def forward(
        self,
        q_former: QFormerBert,
        embedded: torch.Tensor,
        key_mask: torch.Tensor | None,
        initial: torch.Tensor,
        context: MergedContext,
        index: ImageIndex,
    ) -> torch.Tensor:
        """Return c as `WFormer.forward` does, the same at every position; zero where no context is present."""
        semantics = self.linear_c(context.features.mean(dim=1, keepdim=True)) * context.present[:, None, None]
        covered = q_former.num_queries if self.guidance.positions == "queries" else initial.shape[1]
        return (semantics if context.per_image else semantics[index.sample]).expand(-1, covered, -1)


def add_at(stream: torch.Tensor, addition: torch.Tensor) -> torch.Tensor:
    """Add to the first positions of a stream [·, S, D_q] an `addition` that may cover only the queries [·, Q, D_q]."""
    covered = addition.shape[1]
    if covered == stream.shape[1]:
        return stream + addition
    return torch.cat((stream[:, :covered] + addition, stream[:, covered:]), dim=1)
