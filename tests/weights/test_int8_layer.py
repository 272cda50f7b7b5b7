"""An 8-bit layer that moves, before its first product and after it."""

import pytest
import torch
from bitsandbytes.nn import Int8Params
from torch import nn

from lavis_sam.weights.int8_layer import Int8Linear


@pytest.fixture
def packed():
    torch.manual_seed(0)
    layer = Int8Linear(16, 8, bias=False, has_fp16_weights=False, device="meta")
    layer.weight = Int8Params(torch.randn(8, 16), requires_grad=False, has_fp16_weights=False)
    return nn.Sequential(layer.to("cpu")).eval()


def test_an_int8_layer_that_was_used_takes_its_matrix_and_scales_along(packed):
    layer, values = packed[0], torch.randn(2, 16)
    wanted = packed(values)
    packed._apply(lambda tensor: tensor.clone())  # as another device gives other storages
    assert layer.state.CB.data_ptr() == layer.weight.data_ptr()
    assert torch.equal(packed(values), wanted)
    assert torch.equal(packed.to("cpu").float()(values), wanted)


def test_an_int8_layer_that_was_never_used_takes_its_matrix_along(packed):
    layer = packed[0]
    packed._apply(lambda tensor: tensor.clone())
    assert layer.state.CB is None
    assert layer.weight.CB.data_ptr() == layer.weight.data_ptr()
    assert layer.weight.SCB.shape == (8,)
