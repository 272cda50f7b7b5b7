"""`run.sharding: fsdp2`: a model's parameters in shares over the processes, through PyTorch's FSDP2 (`fully_shard`).

Each process holds its share of every parameter, gradient and optimizer moment, those of frozen parameters included. The
ViT's blocks and the language model's layers are gathered one at a time for their products, everything else for the
length of a step. In an evaluation, where processes have other numbers of batches, all parameters are whole everywhere.

Checkpoints hold whole tensors, as those of any other run: any number of processes reads them, sharded or not.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.fingerprint import describe_parameter
from lavis_sam.models.semantic_alignment import ReleasedFingerprints, SemanticAlignment
from lavis_sam.models.vpg_c import language_layers
from lavis_sam.weights.checkpoints import pad_rows
from lavis_sam.weights.fingerprints import fingerprint

# A method of sharded models alone.
_SETTLE = "settle_shares"


def check_settings(settings: RunSettings, model_cfg: Mapping[str, Any]) -> None:
    """Refuse what does not go together with `run.sharding`; needs neither weights nor data.

    Args:
        settings: The `run` section.
        model_cfg: The `model` section.

    Raises:
        SamConfigurationError: All of it, each with what to do.
    """
    if settings.sharding is None or settings.evaluate:
        return
    import torch.distributed.fsdp as torch_fsdp  # not before it is needed: it takes a while

    is_new_enough = hasattr(getattr(torch_fsdp, "FSDPModule", None), "reset_iter_state")
    several = len([weight for weight in (model_cfg.get("objectives") or {}).values() if weight]) > 1
    found = {
        f"PyTorch {torch.__version__}; install 2.15 or newer": not is_new_enough,
        f"model.precision={model_cfg.get('precision')}, whose loss scaler needs whole gradients; use bf16 or fp32": (
            model_cfg.get("precision") == "fp16"
        ),
        f"model.llm_precision={model_cfg.get('llm_precision')}, whose packed matrices cannot be shared out; leave it "
        "empty": bool(model_cfg.get("llm_precision")),
        "model.device_map, which spreads the model of one process; leave one of them out": bool(
            model_cfg.get("device_map")
        ),
        "run.compile, whose layers would run uncompiled; leave one of them out": settings.compile,
        "run.feature_cache, which takes the vision encoder out of the model; leave one of them out": (
            settings.feature_cache is not None
        ),
        f"several model.objectives over run.accum_grad_iters={settings.accum_grad_iters} batches; set that to 1": (
            several and settings.accum_grad_iters > 1
        ),
    }
    if problems := [problem for problem, is_found in found.items() if is_found]:
        raise SamConfigurationError(
            "\n".join(f"run.sharding={settings.sharding} does not work with {problem}." for problem in problems)
        )


def shard(model: Any, device: torch.device) -> None:
    """Shard a model over all processes, in place; fingerprints say what they said before.

    Args:
        model: SAM's, the same on all processes, in the machine's memory or on `device`.
        device: Of this process.

    Raises:
        SamConfigurationError: Another kind of model.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    described = {
        name: describe_parameter(name, parameter)
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    layers = gathered_layers(model)
    model.released = ReleasedFingerprints(described, fingerprint(model))
    mesh = init_device_mesh(device.type, (distributed.world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    # What is a root, and what is below it, is settled in the first call; an evaluation may come before any step.
    setattr(model, _SETTLE, MethodType(lambda self: None, model))
    register_fsdp_forward_method(model, _SETTLE)
    getattr(model, _SETTLE)()
    model.reshard()


def gathered_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers that are gathered one at a time.

    Raises:
        SamConfigurationError: Not SAM's model.
    """
    if not isinstance(model, SemanticAlignment):
        raise SamConfigurationError(
            f"run.sharding: the model is a {type(model).__name__}, wanted SAM's (arch: blip2_vicuna_sam); remove "
            "run.sharding."
        )
    return [*model.visual_encoder.blocks, *language_layers(model.llm_model)]


def is_sharded(model: nn.Module) -> bool:
    """Return whether a model is sharded."""
    return hasattr(model, _SETTLE)


def forget_batch(model: Any) -> None:
    """Bring a sharded model back to its shares after a forward pass that no backward pass follows; gradients go."""
    if is_sharded(model):
        model.reset_iter_state()


@contextmanager
def whole_for_evaluation(model: nn.Module) -> Iterator[None]:
    """Have whole parameters on every process for the length of the block; for a model that is not sharded, nothing."""
    if not is_sharded(model):
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not model, recurse=False)


def gathered_state(model: nn.Module, optimizer: torch.optim.Optimizer, *, keep: bool) -> tuple[dict[str, Any], Any]:
    """Return a sharded model's part of a checkpoint and its optimizer's state, whole; all processes have to ask.

    Args:
        model: The model.
        optimizer: Its optimizer.
        keep: Whether this process wants them; the others only take part.
    """
    trained = {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    tensors = {"model": _whole(trained, keep=keep), "pad_rows": pad_rows(model)}
    return tensors, _whole(optimizer.state_dict(), keep=keep)


def _whole(value: Any, *, keep: bool) -> Any:
    """Return the same containers with sharded tensors whole and on the CPU; without `keep`, None in their place."""
    if isinstance(value, Tensor):
        found = distributed.whole_tensor(value)
        return value if found is value else found.cpu() if keep else None
    if isinstance(value, Mapping):
        return {key: _whole(item, keep=keep) for key, item in value.items()}
    return [_whole(item, keep=keep) for item in value] if isinstance(value, list) else value
