"""What moves the trainable parameters: AdamW, its schedule, the loss scaler, and the exchange between processes."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.distributed import whole_tensor
from lavis_sam.errors import SamConfigurationError


def build_optimizer(model: nn.Module, settings: RunSettings) -> AdamW:
    """Return AdamW over the trainable parameters; vectors (biases, norms) have no weight decay.

    Raises:
        SamConfigurationError: The model has no trainable parameter.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise SamConfigurationError(
            "model: found no trainable parameter, wanted at least one; check what the configuration freezes."
        )
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=settings.init_lr,
        betas=(settings.beta1, settings.beta2),
    )


def build_schedule(
    schedule_class: Callable[..., Any],
    optimizer: torch.optim.Optimizer,
    settings: RunSettings,
    *,
    steps_per_epoch: int,
    warmup_steps: float | None = None,
) -> Any:
    """Return a learning-rate schedule, built with LAVIS's arguments and the number of optimizer steps of an epoch.

    Args:
        schedule_class: The registered class.
        optimizer: Whose rate it sets.
        steps_per_epoch: Optimizer steps of an epoch.
        warmup_steps: Of a run that was continued with other steps (see `resume`); by default `settings.warmup_steps`.
    """
    return schedule_class(
        optimizer=optimizer,
        max_epoch=settings.max_epoch,
        min_lr=settings.min_lr,
        init_lr=settings.init_lr,
        decay_rate=settings.lr_decay_rate,
        warmup_start_lr=settings.warmup_lr,
        warmup_steps=settings.warmup_steps if warmup_steps is None else warmup_steps,
        steps_per_epoch=steps_per_epoch,
    )


def wrap_ddp(model: nn.Module, device: torch.device) -> DistributedDataParallel:
    """Put a model into DDP, for its trainable part: what is frozen is the same everywhere and is never sent around."""
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, frozen)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        forward_sync_buffers=False,
        # The text part of a Q-Former's last layer is never computed, so where it is trained it has no gradient.
        find_unused_parameters=any(name.startswith("Qformer.") and ".lora_" not in name for name in trained),
    )


def build_scaler(model: nn.Module, device: torch.device) -> torch.amp.GradScaler | None:
    """Return the loss scaler, where gradients pass through fp16 layers; the other precisions have fp32's range."""
    if any(parameter.dtype == torch.float16 for parameter in model.parameters()):
        return torch.amp.GradScaler(device.type)
    return None


def apply_gradients(
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    *,
    factor: float,
    max_norm: float | None,
) -> float:
    """Multiply the gradients, clip them, step if their norm is finite, and clear them.

    Args:
        optimizer: Whose parameters have gradients.
        scaler: The scaler that the losses went through, or None.
        factor: Turns a summed gradient into a mean.
        max_norm: Largest total norm, or None for no clipping.

    Returns:
        The total norm of the multiplied gradients, before clipping.
    """
    if scaler is not None:
        scaler.unscale_(optimizer)
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    for gradient in gradients:
        gradient.mul_(factor)
    norm = whole_tensor(torch.nn.utils.get_total_norm(gradients))
    finite = math.isfinite(norm)
    if max_norm is not None and finite:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    if scaler is not None:  # which finds out by itself, to choose its next scale
        scaler.step(optimizer)
        scaler.update()
    elif finite:
        optimizer.step()
    optimizer.zero_grad()
    return float(norm)
