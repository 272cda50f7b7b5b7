"""What moves the trainable parameters: AdamW, its parameter groups, and the loss scaler."""

import torch
from torch import nn
from torch.optim import AdamW

from lavis_sam.errors import SamConfigurationError
from lavis_sam.runners.settings import RunSettings


def build_optimizer(model: nn.Module, settings: RunSettings) -> AdamW:
    """AdamW over the trainable parameters; vectors (biases, norms) have no weight decay.

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


def build_scaler(model: nn.Module, device: torch.device) -> torch.amp.GradScaler | None:
    """The loss scaler, where gradients pass through fp16 layers; the other precisions have fp32's range."""
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
    """Multiply the gradients, clip them, step, and clear them.

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
    norm = torch.nn.utils.get_total_norm(gradients)
    if max_norm is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    if scaler is not None:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
    optimizer.zero_grad()
    return float(norm)
