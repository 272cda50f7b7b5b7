"""What the backends with models share: files are there and whole, batches fit, answers repeat."""

import importlib.util
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.synthesis.backends.local_model import LocalModel, find_model, fingerprint


def local(folder, **changes):
    options = {"device": "cpu", "precision": None, "batch_size": 4, **changes}
    return LocalModel("segment", str(folder), **options)


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder("clip"), tmp_path / "copy")


def test_local_model_that_is_not_there_is_to_be_brought(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        SamConfigurationError, match=r"stages\.segment\.model: 'some/model' is neither a folder.*hf downl"
    ):
        local("some/model")


def test_local_model_in_the_hubs_cache_is_found_by_its_name(tmp_path, monkeypatch, model_folder):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    shutil.copytree(model_folder("clip"), snapshot)
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("0" * 40)
    assert find_model("some/model") == snapshot
    assert find_model("some/other") is None


def test_local_model_lists_all_that_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SamConfigurationError) as caught:
        local(tmp_path / "nowhere", precision="fp8", batch_size=0, packages=("diffusers",))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "pip install lavis_sam[synthesis-gpu]" in lines[0]


def test_local_model_device_that_is_not_there(copy):
    with pytest.raises(SamConfigurationError, match="sees 0 CUDA devices"):
        local(copy, device="cuda:7").device  # noqa: B018


def test_local_model_precision_follows_the_device(copy):
    assert (local(copy).precision, local(copy).dtype) == ("fp32", torch.float32)
    assert local(copy, device="meta").precision == "bf16"
    assert local(copy, precision="fp16").dtype == torch.float16


def test_fingerprint_tells_apart_weights_of_one_size(copy):
    before = fingerprint(copy)
    assert fingerprint(copy) == before
    file = copy / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert fingerprint(copy) != before
    assert fingerprint(file) != fingerprint(copy / "config.json")


def test_local_model_with_a_weight_missing_is_refused(copy):
    from transformers import CLIPModel

    weights = load_file(copy / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SamCheckpointError, match=r"1 weights of CLIPModel are missing, such as visual_projection"):
        local(copy).load_weights(CLIPModel)


def test_local_model_that_is_cut_off_is_refused(copy):
    from transformers import CLIPModel

    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SamCheckpointError, match=r"stages\.segment\.model: .* holds no CLIPModel that can be loaded"):
        local(copy).load_weights(CLIPModel)


def test_batches_shrink_until_they_fit_and_keep_their_order(copy):
    model, sizes = local(copy, batch_size=8), []

    def call(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return [item * 10 for item in batch]

    assert model.in_batches(call, range(7)) == [0, 10, 20, 30, 40, 50, 60]
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert model.batch_size == 1


def test_batch_of_one_that_does_not_fit_ends_clearly(copy):
    def call(batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with pytest.raises(SamConfigurationError, match=r"stages\.segment: out of memory on cpu with one item.*--resume"):
        local(copy).in_batches(call, [1, 2])


def test_batch_that_a_room_below_calls_out_of_memory_shrinks_too(copy):
    def call(batch):
        if len(batch) > 1:
            raise SamConfigurationError("out of memory while working") from MemoryError()
        return batch

    assert local(copy).in_batches(call, [1, 2, 3]) == [1, 2, 3]


def test_other_errors_pass_and_threads_come_back(copy):
    def call(batch):
        assert torch.get_num_threads() == 1
        assert not torch.is_grad_enabled()
        raise ValueError("something else")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="something else"):
            local(copy).in_batches(call, [1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
