"""VPG-C, row 5 of Table 3: the language model itself says what to look for in the images.

Li et al., "Fine-tuning Multimodal LLMs to Follow Zero-shot Demonstrative Instructions" (ICLR 2024, Cheetah). Half-way
through the language model, on the prompt alone:

    h         hidden state of the prompt's last token            [B, D_llm]
    queries   own queries + Linear_in(h)                         [B, Q, D_q]
    extracted the frozen Q-Former reads each image with them     [ΣN, Q, D_q]
    added     Linear_out(extracted), at the image's positions    [B, V, D_llm]

Both linear layers start at zero, so step 0 equals InstructBLIP exactly. Cheetah's Q-Former is BLIP-2's and reads no
instruction; InstructBLIP's was trained with one and gets it here too, unless `instruction: false`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.batch import ImageIndex
from lavis_sam.models.language.language_model import Cache, Hidden, LanguageModel, TransformersLanguageModel
from lavis_sam.models.visual_path import GuidedVisualPath, VisualPath, VisualPathModule, embed
from lavis_sam.models.w_former import zero_linear

if TYPE_CHECKING:
    from lavis_sam.models.semantic_alignment import SemanticAlignment

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FeaturesVisualPath(VisualPath):
    """A visual path that keeps what the second extraction and the objectives read.

    Attributes:
        features: patch features I [ΣN, P, D_v].
        index: where the real images are.
        extracted: guided visual tokens before projection [ΣN, Q, D_q].
    """

    features: Tensor
    index: ImageIndex
    extracted: Tensor

    def select(self, rows: slice | Sequence[int] | Tensor) -> FeaturesVisualPath:
        """See `VisualPath.select`."""
        index = ImageIndex.from_mask(self.index.mask[rows])
        features, extracted = (index.pack(self.index.pad(part)[rows]) for part in (self.features, self.extracted))
        return FeaturesVisualPath(self.tokens[rows], self.token_mask[rows], features, index, extracted)

    def repeat(self, count: int) -> FeaturesVisualPath:
        """See `VisualPath.repeat`."""
        return self.select(torch.arange(len(self.tokens), device=self.tokens.device).repeat_interleave(count))


class VpgC(nn.Module):
    """The trained part: 6,320,896 parameters at InstructBLIP-Vicuna-7B's sizes.

    Args:
        queries: the Q-Former's own queries [1, Q, D_q], from which these start.
        llm_width: D_llm.
        layer: the layer of the language model, 1-based, at whose input the images are read again.
        instruction: whether the Q-Former reads the instruction too.
    """

    def __init__(self, queries: Tensor, llm_width: int, *, layer: int, instruction: bool = True) -> None:
        super().__init__()
        width = queries.shape[-1]
        self.layer, self.instruction = layer, instruction
        self.queries = nn.Parameter(queries.detach().clone().float())
        self.linear_in = zero_linear(llm_width, width)
        self.linear_out = zero_linear(width, llm_width)

    def language(
        self,
        model: SemanticAlignment,
        visual: VisualPath,
        instructions: Sequence[str],
        prompt_ends: Tensor | None = None,
    ) -> LanguageModel:
        """Return the language model as it reads these samples.

        Args:
            model: the model that this is a part of.
            visual: B samples, from `keep_features`.
            instructions: B instructions.
            prompt_ends: int64 [B], the position of each prompt's last token; None where that is the last position.

        Raises:
            SamConfigurationError: the visual path kept no features.
        """
        if not isinstance(visual, FeaturesVisualPath):
            raise SamConfigurationError(
                f"VPG-C reads the images again, but the visual path gave a {type(visual).__name__} without patch "
                "features; build the model with model.trainable=vpg_c or model.inject.vpg_c and encode with it"
            )
        texts = list(instructions) if self.instruction else None

        def read_again(hidden: Tensor) -> Tensor:
            ends = prompt_ends if prompt_ends is not None else torch.tensor(hidden.shape[1] - 1).expand(len(hidden))
            last = hidden[torch.arange(len(hidden), device=hidden.device), ends.to(hidden.device)]
            addition = self.extract(model, visual, last, texts)
            return hidden + F.pad(addition, (0, 0, 0, hidden.shape[1] - addition.shape[1])).to(hidden)

        return ConditionedLanguageModel(model.llm_model, self._layer_of(model), read_again)

    def extract(
        self, model: SemanticAlignment, visual: FeaturesVisualPath, last: Tensor, instructions: list[str] | None
    ) -> Tensor:
        """Read the images again.

        Args:
            model: its Q-Former is used.
            visual: B samples.
            last: hidden state of each prompt's last token [B, D_llm].
            instructions: B instructions for the Q-Former; None for none.

        Returns:
            What is added at visual positions [B, V, D_llm], zero at padded images.
        """
        wanted = self.queries + self.linear_in(last.to(self.queries)).unsqueeze(1)
        if instructions is None:
            none = torch.zeros((len(wanted), 0), dtype=torch.long, device=wanted.device)
            embedded, key_mask = model.Qformer.bert.embed(wanted, none), None
        else:
            embedded, key_mask = embed(model, instructions, wanted)
        index, bert = visual.index, model.Qformer.bert
        q, q_mask = index.repeat(embedded), index.repeat(key_mask)
        extracted = bert.run_layers(1, bert.num_layers, q, q_mask, visual.features, queries_only=True)
        return index.pad(self.linear_out(extracted)).flatten(1, 2)

    def _layer_of(self, model: SemanticAlignment) -> nn.Module:
        return language_layers(model.llm_model)[self.layer - 1]


def language_layers(llm_model: Any) -> nn.ModuleList:
    """Return the decoder layers of a causal model of transformers'.

    Raises:
        SamConfigurationError: it has none under the usual name.
    """
    layers = getattr(getattr(llm_model, "base_model", None), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise SamConfigurationError(
            f"the language model is a {type(llm_model).__name__} without a list of layers; VPG-C needs one such as "
            "Vicuna, Llama, Mistral or Qwen2"
        )
    return layers


def keep_features(inner: VisualPathModule) -> VisualPathModule:
    """Make a visual path keep what the second extraction and the objectives read, and no more."""

    def visual_path(model: SemanticAlignment, samples: dict[str, Any], instructions: list[str]) -> FeaturesVisualPath:
        """See `VisualPathModule`."""
        visual = inner(model, samples, instructions)
        if not isinstance(visual, GuidedVisualPath):
            raise SamConfigurationError(f"VPG-C needs patch features; a {type(visual).__name__} holds none")
        index = visual.index
        if index is None:  # one image a sample
            index = ImageIndex.from_mask(torch.ones((len(visual.features), 1), dtype=torch.bool))
        index = index.to(visual.features.device)
        return FeaturesVisualPath(visual.tokens, visual.token_mask, visual.features, index, visual.extracted)

    return visual_path


class ConditionedLanguageModel(TransformersLanguageModel):
    """A language model whose hidden states are changed before one of its layers, on the prompt's pass alone.

    Args:
        model: transformers' module.
        layer: one of its layers, prepared by `make_changeable`.
        change: hidden states [R, T, D_llm] -> the same shape.
    """

    def __init__(self, model: Any, layer: nn.Module, change: Change) -> None:
        super().__init__(model)
        self._layer, self._change = layer, change

    @property
    def reads_packed_rows(self) -> bool:
        """The change is that of one sample in each row."""
        return False

    def hidden(self, *given: Tensor, cache: Cache | None = None, use_cache: bool = False) -> Hidden:
        """See `LanguageModel`; with a cache the prompt has been read, and nothing changes."""
        with _changed(self._layer, self._change if cache is None else None):
            return super().hidden(*given, cache=cache, use_cache=use_cache)


class _Changeable:
    """Mixed into the class of a decoder layer; no hook, as gradient checkpointing would run hooks again in backward."""

    change: Change | None = None

    def __call__(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.change is not None:
            hidden_states = self.change(hidden_states)
        return super().__call__(hidden_states, *args, **kwargs)  # type: ignore[misc]


def make_changeable(layer: nn.Module) -> None:
    """Let `ConditionedLanguageModel` change what a decoder layer reads; its parameters and names stay as they are."""
    if not isinstance(layer, _Changeable):
        # Under its own name, by which transformers and accelerate know what not to split.
        layer.__class__ = type(type(layer).__name__, (_Changeable, type(layer)), {})


@contextmanager
def _changed(layer: Any, change: Change | None) -> Iterator[None]:
    # Straight into the instance: a module's own attributes are parameters, buffers and modules.
    layer.__dict__["change"] = change
    try:
        yield
    finally:
        layer.__dict__["change"] = None
