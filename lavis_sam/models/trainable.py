"""What of a model is trained: SAM's layers, one of the baselines of the paper's Table 3, or a small base itself."""

from collections.abc import Callable, Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.w_former import sam_modules

_VISION = ("visual_encoder.", "ln_vision.")
_LANGUAGE = ("Qformer.", "query_tokens", "llm_proj.", "llm_model.")
# Preset -> beginnings of the names of what it trains.
PRESETS: dict[str, Callable[[], tuple[str, ...]]] = {
    "sam": lambda: (*sam_modules(), "llm_proj."),
    "projection": lambda: ("llm_proj.",),
    # With VPG-C, which `lavis_sam.weights.injection` builds in for this preset.
    "vpg_c": lambda: ("llm_proj.",),
    "base": lambda: (*_VISION, *_LANGUAGE),
    "vision": lambda: _VISION,
    "language": lambda: _LANGUAGE,
    "mmicl": lambda: (
        "llm_proj.",
        *(f"llm_model.model.layers.{layer}.self_attn.{name}_proj." for layer in (0, 1) for name in ("q", "v")),
    ),
}

# Presets that train a base from nothing.
FROM_NOTHING = ("base", "vision", "language")


class MasterWeightLinear(nn.Linear):
    """A trainable linear layer inside a half-precision network: float32 weights, computed in the input's type.

    An update of 1e-5 of a weight would be rounded away in bf16 and fp16.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Map [..., in] to [..., out], in the type of `values`."""
        bias = self.bias.to(values.dtype) if self.bias is not None else None
        return F.linear(values, self.weight.to(values.dtype), bias)


def select_trainable(model: nn.Module, preset: str, *, further: Collection[str] = ()) -> list[str]:
    """Freeze everything but what a preset trains.

    Args:
        model: A `SemanticAlignment`; linear layers of its language model that are to be trained get float32 weights.
        preset: "sam", "projection" (Table 3 row 2), "vpg_c" (row 5), "mmicl" (row 6);
            "base" (everything but SAM's layers), "vision" (the ViT) and "language" (the rest) pretrain a small base.
        further: Names of parameters that are trained whatever the preset says (those of injected modules).

    Returns:
        The names of the trainable parameters.

    Raises:
        SamConfigurationError: An unknown preset, nothing of it is in the model, or a base in half precision, in which
            its own small updates would be rounded away.
    """
    if preset not in PRESETS:
        raise SamConfigurationError(f"model.trainable is {preset!r}; choose one of {', '.join(PRESETS)}")
    names, beginnings = [], PRESETS[preset]()
    for name, parameter in model.named_parameters():
        chosen = name.startswith(beginnings) and name not in further
        parameter.requires_grad_(chosen or name in further)
        if chosen:
            names.append(name)
    if not names:
        raise SamConfigurationError(f"model.trainable is {preset!r}, but the model has no such layers: {beginnings}")
    half = [name for name in names if preset in FROM_NOTHING and model.get_parameter(name).dtype != torch.float32]
    if half:
        found = f"{half[0]} is {model.get_parameter(half[0]).dtype}"
        raise SamConfigurationError(f"model.trainable is {preset!r}, but {found}; set model.precision=fp32")
    for name in names:
        module = model.get_submodule(name.rpartition(".")[0])
        if name.startswith("llm_model.") and module.weight.dtype != torch.float32:
            module.__class__ = MasterWeightLinear
            module.float()
    return [*names, *further]
