"""Whether weights are numbers that a model can hold: a single NaN makes every answer empty, without an error.

Apart from `checkpoints`, which is about names and shapes: here the numbers of one tensor are looked at.
"""

import torch
from torch import Tensor

from lavis_sam.errors import SamCheckpointError

REMEDY = (
    "A model with these would answer nothing, or anything. Fetch the file again, or take a checkpoint from before the "
    "training went wrong; where only the type is too small, set model.precision to bf16 or fp32."
)


def unusable_values(name: str, tensor: Tensor, dtype: torch.dtype) -> str:
    """Say which numbers of a tensor are not finite, or not in the type that a model has; empty if all are.

    The smallest and the largest number answer for all others (0.04 s for a GiB); only where they do not, is every one
    looked at.

    Args:
        name: What the message calls the tensor.
        tensor: The weights; other kinds than floating-point numbers are always usable.
        dtype: The type that they will have in the model.
    """
    if not (tensor.is_floating_point() and dtype.is_floating_point and tensor.numel()):
        return ""
    tensor = tensor.detach()
    low, high = (tensor if tensor.dtype.itemsize > 1 else tensor.float()).aminmax()
    most = torch.finfo(dtype).max
    if -most <= float(low) and float(high) <= most:  # false for NaN
        return ""
    not_finite = int((~tensor.isfinite()).sum())
    if not_finite:
        return f"{name} has {not_finite} of {tensor.numel()} numbers that are NaN or infinite"
    too_large = int((~tensor.to(dtype).isfinite()).sum())
    if too_large:
        return f"{name} has {too_large} of {tensor.numel()} numbers that {dtype} cannot hold (at most {most:.5g})"
    return ""


def require_usable(name: str, tensor: Tensor, dtype: torch.dtype, source: str) -> None:
    """Refuse a tensor with `unusable_values`.

    Args:
        source: How the message calls the file.

    Raises:
        SamCheckpointError: It has some.
    """
    if problem := unusable_values(name, tensor, dtype):
        raise SamCheckpointError(f"{source}: {problem}. {REMEDY}")
