"""Layer norm in float32 whatever the precision around it."""

import pytest
import torch
from torch import nn

from lavis_sam.models.layer_norm import Float32LayerNorm


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_layer_norm_computes_in_float32_and_returns_the_inputs_type(dtype):
    values = (torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) * 300).to(dtype)
    found = Float32LayerNorm(64, eps=1e-6)(values)
    expected = nn.functional.layer_norm(values.float(), (64,), eps=1e-6)
    assert found.dtype is dtype
    assert torch.equal(found, expected.to(dtype))
