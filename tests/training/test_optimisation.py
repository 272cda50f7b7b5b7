"""What moves the parameters: clipped gradients, the loss scaler of fp16 layers."""

import warnings

import pytest
import torch

from helpers.dummies import DummyModel
from lavis_sam.training.optimisation import apply_gradients, build_scaler


def test_apply_gradients_clips_to_the_largest_norm():
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([1e6])
    norm = apply_gradients(torch.optim.SGD([parameter], lr=1.0), None, factor=1.0, max_norm=1.0)
    assert norm == 1e6
    assert abs(parameter.item()) == pytest.approx(1.0)


def test_build_scaler_for_fp16_layers_is_on_and_not_deprecated():
    model = DummyModel()
    model.frozen.to(torch.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_scaler(model, torch.device("cpu")).is_enabled()
