"""The frozen language model in 8 or 4 bits through bitsandbytes: `model.llm_precision: int8 | nf4`.

The matrices of its layers are packed, more than nine tenths of its weights: `int8` is LLM.int8() (Dettmers et al. 2022)
and `nf4` QLoRA's type with packed scales (Dettmers et al. 2023). Embedding, head and norms keep `model.precision`.

Gradients with respect to inputs pass through packed matrices, so everything but these can be trained: SAM's layers, the
projection, VPG-C, and LoRA on the packed matrices themselves.
"""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lavis_sam.errors import SamConfigurationError

LLM_PRECISIONS = ("int8", "nf4")
INSTALL = 'pip install "lavis_sam[quantised]", or pip install --no-deps bitsandbytes'
# Above this an activation is an outlier, whose column LLM.int8() leaves in half precision.
OUTLIER = 6.0
# What bitsandbytes says at every product or import, and nobody can do anything about.
_NOISE = {
    "bitsandbytes.autograd._functions": "inputs will be cast",
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
}


def read_llm_precision(cfg: Mapping[str, Any]) -> str:
    """Return the `llm_precision` of a config's `model` node; empty where the language model is not packed.

    Raises:
        SamConfigurationError: An unknown one, or one of matrices that `trainable` would train.
    """
    precision = cfg.get("llm_precision") or ""
    if precision and precision not in LLM_PRECISIONS:
        raise SamConfigurationError(
            f"model.llm_precision is {precision!r}; choose one of {', '.join(LLM_PRECISIONS)}, or leave it empty for "
            "that of model.precision"
        )
    if precision and (preset := cfg.get("trainable")) in ("base", "language", "mmicl"):
        raise SamConfigurationError(
            f"model.trainable is {preset!r}, which trains matrices of the language model, and model.llm_precision "
            f"{precision!r} packs them; leave model.llm_precision empty, or train sam, projection or vpg_c, or "
            "model.lora, whose updates are added to packed matrices"
        )
    return str(precision)


def packed_layers(llm_model: Any) -> dict[str, nn.Linear]:
    """Map names to the layers of a language model whose matrices are packed: all linear ones but the head."""
    head = llm_model.get_output_embeddings()
    modules = llm_model.named_modules()
    return {name: module for name, module in modules if isinstance(module, nn.Linear) and module is not head}


def packed_bytes(layer: nn.Linear, precision: str) -> int:
    """Count the bytes of a layer's matrix once it is packed, with its scales (but the few that any layer has)."""
    numbers = layer.weight.numel()
    if precision == "int8":  # and a float32 scale for each row
        return numbers + 4 * layer.out_features
    blocks = -(-numbers // 64)  # of which each has an 8-bit scale, and 256 of these a float32 one
    return -(-numbers // 2) + blocks + 4 * -(-blocks // 256)


def pack_language_model(model: Any, precision: str, device: torch.device) -> None:
    """Pack the language model of a model, matrix by matrix, so that only one of them is there twice.

    Args:
        model: A `SemanticAlignment` with its base.
        precision: One of `LLM_PRECISIONS`.
        device: Where each matrix is packed, and stays.

    Raises:
        SamConfigurationError: bitsandbytes is not installed, or does not work on the device.
    """
    for name, layer in packed_layers(model.llm_model).items():
        try:
            packed = _packed(layer, precision).to(device)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as error:
            raise SamConfigurationError(
                f"model.llm_precision is {precision!r}, and bitsandbytes cannot pack {name} on {device}: "
                f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Install a bitsandbytes built "
                "for this device (`python -m bitsandbytes` says what it finds), choose another device, or leave "
                "model.llm_precision empty."
            ) from error
        model.llm_model.set_submodule(name, packed.eval())
    # The words by which peft knows such layers.
    setattr(model, {"int8": "is_loaded_in_8bit", "nf4": "is_loaded_in_4bit"}[precision], True)


def _packed(layer: nn.Linear, precision: str) -> nn.Module:
    """Return the bitsandbytes layer with the weights of `layer`; moving it to a device packs them there."""
    for logger, words in _NOISE.items():
        _drop_messages(logger, words)
    try:
        from bitsandbytes.nn import Int8Params, LinearNF4, Params4bit

        from lavis_sam.weights.int8_layer import Int8Linear
    except ImportError as error:
        raise SamConfigurationError(f"model.llm_precision needs bitsandbytes: {INSTALL} ({error}).") from error
    sizes, bias = (layer.in_features, layer.out_features), layer.bias is not None
    weight: Any = layer.weight.detach()
    packed: Any
    if precision == "int8":
        packed = Int8Linear(*sizes, bias=bias, has_fp16_weights=False, threshold=OUTLIER, device="meta")
        packed.weight = Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        packed = LinearNF4(*sizes, bias=bias, compute_dtype=weight.dtype, device="meta")
        packed.weight = Params4bit(weight, requires_grad=False, quant_type="nf4", module=packed)
        # Otherwise a CPU that computes in bf16 lays the matrix out anew, through which no gradient passes any more.
        packed.support_avx512bf16_for_cpu = False
    packed.bias = layer.bias
    return packed


def _drop_messages(logger: str, words: str) -> None:
    known = logging.getLogger(logger)
    if not any(isinstance(found, _Drop) for found in known.filters):
        known.addFilter(_Drop(words))


class _Drop(logging.Filter):
    """A filter that lets all messages pass but those with certain words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def filter(self, record: logging.LogRecord) -> bool:
        return self._words not in str(record.msg)
