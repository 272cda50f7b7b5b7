"""Tensors that stay in their files until they are asked for, whole or by rows."""

import json

import pytest
import torch
from safetensors.torch import save_file

from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.part_index import INDEX_FILE
from lavis_sam.weights.streaming import StreamedTensors, open_file, open_folder

TENSORS = {"a": torch.arange(12.0).reshape(4, 3), "b": torch.tensor(7)}


def test_rows_of_a_tensor_are_read_alone(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    entry = open_file(tmp_path / "model.safetensors")["a"]
    assert (entry.shape, entry.dtype) == ((4, 3), torch.float32)
    assert torch.equal(entry.rows(1, 3).rows(1, 2).read(), TENSORS["a"][2:])


def test_streamed_tensors_are_those_of_the_file_and_described_without_reading(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    tensors = StreamedTensors({**open_folder(tmp_path), "made": torch.ones(2)})
    (tmp_path / "model.safetensors").rename(tmp_path / "elsewhere")
    described = tensors.described()
    assert {name: (*one.shape, one.device.type) for name, one in described.items()} == {
        "a": (4, 3, "meta"), "b": ("meta",), "made": (2, "meta"),
    }  # fmt: skip
    with pytest.raises(SamCheckpointError, match=r"model\.safetensors"):
        tensors["a"]
    (tmp_path / "elsewhere").rename(tmp_path / "model.safetensors")
    assert torch.equal(tensors["a"], TENSORS["a"])
    assert torch.equal(tensors["b"], TENSORS["b"])


def test_a_tensor_that_the_index_promises_and_no_part_holds_is_named(tmp_path):
    save_file(TENSORS, tmp_path / "part.safetensors")
    index = {"weight_map": {"a": "part.safetensors", "b": "part.safetensors", "gone": "part.safetensors"}}
    (tmp_path / INDEX_FILE).write_text(json.dumps(index))
    with pytest.raises(SamCheckpointError, match="gone"):
        open_folder(tmp_path)


def test_wrappers_are_taken_out_of_the_names_of_a_streamed_folder(tmp_path):
    save_file({f"_orig_mod.{name}": tensor for name, tensor in TENSORS.items()}, tmp_path / "model.safetensors")
    entries = open_folder(tmp_path)
    assert set(entries) == set(TENSORS)
    assert torch.equal(entries["a"].read(), TENSORS["a"])
