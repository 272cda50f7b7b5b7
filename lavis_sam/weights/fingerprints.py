"""Fingerprints of a base: a few numbers of each of its parts, recognisable in every precision.

A hash of the files would differ between fp16 and fp32, and between LAVIS's layout and transformers'. 32 numbers of one
matrix of a part say whether it is the same one: rounding to fp16 or bf16 moves them by less than 0.4 %, another
training by several times that.
"""

from collections.abc import Mapping

import torch
from torch import nn

from lavis_sam.weights.device_map import held_parameters

NUMBERS = 32
# bf16 moves a number by 0.39 % at most, four written digits by 0.05 %.
TOLERANCE = 0.005

# Parts, as messages call them, and the parameter that stands for each.
PARTS = {
    "vision encoder": "visual_encoder.blocks.0.attn.qkv.weight",
    "ln_vision": "ln_vision.weight",
    "queries": "query_tokens",
    "Q-Former": "Qformer.bert.encoder.layer.0.attention.self.query.weight",
    "language model's embedding": "llm_model.model.embed_tokens.weight",
    "language model": "llm_model.model.layers.0.self_attn.q_proj.weight",
    "language model's head": "llm_model.lm_head.weight",
}
WITH_PAD_ROW = ("language model's embedding", "language model's head")


def fingerprint(model: nn.Module) -> dict[str, str]:
    """Return a few numbers of each frozen part of a model.

    Args:
        model: A model with InstructBLIP's parameter names. Parts that it lacks, trains, or holds quantised or elsewhere
            (on the meta device) are left out.

    Returns:
        Part -> numbers, evenly spaced over the parameter ([PAD] rows left out), with four digits.
    """
    # Where LoRA is added to a layer, its own weights are those of peft's `base_layer`.
    own = {name.replace(".base_layer.", "."): parameter for name, parameter in held_parameters(model)}
    found = {part: own[name] for part, name in PARTS.items() if name in own}
    released = getattr(model, "released", None)
    # Of those that were let go of, or are sharded now, the numbers are known.
    found = {part: tensor for part, tensor in found.items() if not released or part not in released.parts}
    return {
        **(released.parts if released else {}),
        **_of_parameters(found),
    }


def _of_parameters(found: Mapping[str, torch.Tensor]) -> dict[str, str]:
    return {
        part: _numbers(parameter[:-1] if part in WITH_PAD_ROW else parameter)
        for part, parameter in found.items()
        if parameter.is_floating_point() and not parameter.is_meta and not parameter.requires_grad
    }


def fingerprint_weights(weights: Mapping[str, torch.Tensor], *, pieces: int) -> dict[str, str]:
    """Return the same of weights that no model holds yet.

    Args:
        weights: Tensors by InstructBLIP's parameter names; those of `PARTS` alone are looked at.
        pieces: Pieces of the language model's tokenizer: rows of its tables behind them do not count.
    """
    held = {part: weights[name] for part, name in PARTS.items() if name in weights}
    return {part: _numbers(tensor[:pieces] if part in WITH_PAD_ROW else tensor) for part, tensor in held.items()}


def _numbers(parameter: torch.Tensor) -> str:
    values = parameter.detach().reshape(-1)
    places = torch.linspace(0, len(values) - 1, NUMBERS, dtype=torch.float64).long()
    return " ".join(f"{value:.4g}" for value in values[places.to(values.device)].float().tolist())


def compare_fingerprints(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return the parts that differ, of those that both have.

    Args:
        wanted: A stored fingerprint.
        found: Another one, perhaps of a model in another precision.
    """
    return [part for part in wanted if part in found and not _is_close(wanted[part], found[part])]


def _is_close(wanted: str, found: str) -> bool:
    try:
        one, other = (
            torch.tensor([float(word) for word in text.split()], dtype=torch.float64) for text in (wanted, found)
        )
    except (AttributeError, ValueError):
        return False
    if not one.isfinite().all():  # infinitely large numbers would be as close as infinity allows to any others
        return False
    return one.shape == other.shape and bool((one - other).norm() <= TOLERANCE * one.norm())
