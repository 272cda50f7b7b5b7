"""`run.compile`: the layers of the ViT, the Q-Former and the language model by torch.compile.

Each layer is compiled by itself, and layers of one kind share what was compiled: a few graphs, however deep the model.
Sizes are symbols in them, so batches of other sizes compile nothing new. What is around the layers runs as it is,
gradient checkpointing included. Modules, parameters and their names stay; a checkpoint does not show it.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.semantic_alignment import SemanticAlignment

# Graphs of one kind of layer: with and without gradients, masks, cross-attention, … PyTorch gives up at 8 of them.
_GRAPHS = 64
_REMEDY = "remove run.compile, which changes nothing but the speed."


def check_compiler(device: torch.device) -> None:
    """Refuse to compile where the tools that PyTorch's compiler calls are missing.

    Raises:
        SamConfigurationError: naming what is missing, and how to get it.
    """
    wanted: tuple[str, ...]
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise SamConfigurationError(f"run.compile needs triton on a GPU: pip install triton, or {_REMEDY}")
        wanted, variable = ("gcc", "clang", "cc"), "CC"
    else:
        wanted, variable = ({"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"),), "CXX"
    # As PyTorch looks for it.
    given = os.environ.get(variable)
    if not any(shutil.which(name) for name in ((given,) if given else wanted)):
        found = f"{variable}={given!r}, which is no program" if given else f"no {' or '.join(wanted)} on the PATH"
        raise SamConfigurationError(
            f"run.compile needs a C++ compiler on {device.type}, and there is {found}: install one (Debian: apt-get "
            f"install g++), set {variable} to it, or {_REMEDY}"
        )


def compile_model(model: nn.Module, *, backend: str | Callable[..., Any] = "inductor") -> dict[str, int]:
    """Compile the layers of a model in place; each graph is made when the first batch needs it.

    Not compiled: layers that read with a cache of keys and values (answers are written token by token, with other
    shapes at each); a language model in 8 or 4 bits, whose products are bitsandbytes' own; and one that is spread over
    devices (`model.device_map`), which accelerate moves between.

    Args:
        model: A `SemanticAlignment`, on its device.
        backend: torch.compile's.

    Returns:
        Part -> how many of its layers are compiled.

    Raises:
        SamConfigurationError: Another kind of model.
    """
    if not isinstance(model, SemanticAlignment):
        raise SamConfigurationError(
            f"run.compile: the model is a {type(model).__name__}, wanted SAM's (arch: blip2_vicuna_sam); {_REMEDY}"
        )
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _GRAPHS)
    if len(model.objectives) > 1:
        # The trainer may take a gradient of each of them, so a graph's buffers must outlive its first backward pass.
        torch._functorch.config.donated_buffer = False
    layers: dict[str, Iterable[nn.Module]] = {
        # A vision encoder that was let go of has no blocks.
        "vision": getattr(model.visual_encoder, "blocks", ()),
        "q_former": model.Qformer.bert.encoder.layer,
        "language": _language_layers(model.llm_model),
    }
    return {part: sum(_compile(layer, backend) for layer in found) for part, found in layers.items()}


def _language_layers(llm_model: nn.Module) -> list[nn.Module]:
    is_packed = not all(parameter.is_floating_point() for parameter in llm_model.parameters())
    if is_packed or hasattr(llm_model, "hf_device_map"):
        return []
    return [module for module in llm_model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _compile(layer: Any, backend: Any) -> int:
    compiled = torch.compile(layer.forward, backend=backend, dynamic=True)

    def call(*args: Any, **kwargs: Any) -> Any:
        is_plain = kwargs.get("past_key_values") is None and not layer._forward_hooks and not layer._forward_pre_hooks
        return compiled(*args, **kwargs) if is_plain else layer._call_impl(*args, **kwargs)

    # Where `nn.Module.compile` puts it, so that copies and pickles of the module come without it.
    layer._compiled_call_impl = call
    return 1
