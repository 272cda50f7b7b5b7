"""An adapter over the base that it was trained over, and over another."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.findings import FAILURE, OK, assert_helpful, only
from helpers.models import SIZES
from helpers.weights import config_for
from lavis_sam.doctor import weights
from lavis_sam.weights.adapters import save_adapter


@pytest.mark.parametrize("is_old", [False, True])
def test_adapter_of_another_vicuna(source, files, tmp_path, is_old):
    """As far away as v1.3 from v1.1: the same architecture, other numbers in the language model alone."""
    save_adapter(tmp_path / "adapter", source, model_type="vicuna7b")
    config = config_for(source, SIZES, files, finetuned=str(tmp_path / "adapter"))
    assert only(weights.check_weights(config), "base of the adapter").verdict is OK
    path = tmp_path / "vicuna" / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.0.self_attn.q_proj.weight"
    tensors[name] *= 1 + 0.05 * torch.randn(tensors[name].shape, generator=torch.Generator().manual_seed(0))
    save_file(tensors, path)
    if is_old:
        torch.save(tensors, path.parent / "pytorch_model.bin")
        path.unlink()
    found = list(weights.check_weights(config))
    assert only(found, "trained layers").verdict is OK
    assert only(found, "base of the adapter").verdict is FAILURE
    assert "another base; different are language model" in only(found, "base of the adapter").found
    assert_helpful(found)
