"""The layer norm of everything that is frozen: computed in float32 whatever the precision around it."""

import torch
from torch import nn


class Float32LayerNorm(nn.LayerNorm):
    """Layer norm in float32, returned in the input's own type (InstructBLIP's `ln_vision` does the same)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise the last dimension; shape and type stay those of `input`."""
        return super().forward(input.float()).to(input.dtype)
