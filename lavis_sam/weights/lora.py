"""LoRA (Hu et al. 2022) through peft: low-rank updates of linear layers of the language model and the Q-Former.

`model.lora: {targets: [q_proj, v_proj, query], rank: 8, alpha: 16}` is short for the injection `lora`. A target is the
last part of a layer's name: `q_proj`, `o_proj`, `up_proj`, … are the language model's, `query`, `key`, `value` and
`dense` the Q-Former's attention's (its cross-attention's included).
"""

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.semantic_alignment import SemanticAlignment

INSTALL = 'model.lora needs peft: pip install "lavis_sam[lora]", or pip install --no-deps peft accelerate.'
TARGETS = ("q_proj", "v_proj")
_ATTENTION = re.compile(r"Qformer\..*\.(attention|crossattention)\..+")


def add_lora(model: SemanticAlignment, *, targets: Sequence[str] = TARGETS, rank: int = 8, alpha: int = 16) -> None:
    """Add low-rank updates, which are zero at first, to linear layers of a model.

    Args:
        model: A model with its base.
        targets: Last parts of the names of the layers that are updated; each must name at least one.
        rank: Of each update.
        alpha: An update counts `alpha / rank` times.

    Raises:
        SamConfigurationError: peft is not installed, a target names no layer, or a number is impossible.
    """
    names = _target_layers(model, targets)
    for key, value in (("rank", rank), ("alpha", alpha)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SamConfigurationError(f"model.lora.{key} is {value!r}; wanted a whole number from 1.")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise SamConfigurationError(f"{INSTALL} ({error})") from error
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="|".join(map(re.escape, names)), lora_dropout=0.0)
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()  # an update of 1e-5 would be rounded away in half precision
        elif id(parameter) in trained:  # peft freezes all that is not its own
            parameter.requires_grad_(True)


def _target_layers(model: nn.Module, targets: Any) -> list[str]:
    """Return the names of the layers that `targets` are about."""
    if isinstance(targets, str) or not isinstance(targets, Sequence) or not targets:
        raise SamConfigurationError(f"model.lora.targets is {targets!r}; wanted a list such as [q_proj, v_proj].")
    known: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        is_language = name.startswith("llm_model.") and name.rpartition(".")[2] != "lm_head"
        if isinstance(module, nn.Linear) and (is_language or _ATTENTION.fullmatch(name)):
            known.setdefault(name.rpartition(".")[2], []).append(name)
    for target in targets:
        if target not in known:
            raise SamConfigurationError(
                f"model.lora.targets names {target!r}, and this model has no such linear layer in its language model "
                f"or its Q-Former's attention; choose from {', '.join(sorted(known))}."
            )
    return [name for target in dict.fromkeys(targets) for name in known[target]]


def lora_parameters(model: SemanticAlignment) -> tuple[str, ...]:
    """Return the injected parameters of a model that are LoRA's."""
    return tuple(name for name in model.injected if ".lora_" in name)


def merge_lora(model: SemanticAlignment) -> None:
    """Add the low-rank updates of a model to its weights, so that it is a plain model with the same answers.

    In half precision the sums are rounded to it.

    Raises:
        SamConfigurationError: A layer is quantised: its sum would have to be quantised anew.
    """
    merged = lora_parameters(model)
    layers = [(name, module) for name, module in model.named_modules() if hasattr(module, "base_layer")]
    for name, module in layers if merged else ():
        if not module.base_layer.weight.is_floating_point():
            raise SamConfigurationError(
                f"{name} is quantised, so its LoRA cannot be merged; load the model with model.llm_precision=null and "
                "export that, or export an adapter."
            )
    for name, module in layers if merged else ():
        module.merge(safe_merge=True)
        model.set_submodule(name, module.get_base_layer())
    model.injected = tuple(name for name in model.injected if name not in merged)
