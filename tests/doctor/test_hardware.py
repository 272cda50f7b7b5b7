"""Devices, precisions and memory, each with the verdict that they must give."""

import importlib.metadata

import pytest
import torch

from helpers.findings import FAILURE, NOTE, OK, WARNING, assert_helpful
from lavis_sam.doctor import hardware
from lavis_sam.predictor.load_model import model_config


def test_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    (found,) = hardware.check_device(model_config("tiny"), "cuda:0")
    assert found.verdict is FAILURE
    assert "sees 0 CUDA devices" in found.found
    assert found.remedy


def test_gpu_that_does_not_compute(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Old GPU")
    monkeypatch.setattr(hardware.torch, "ones", refuse)
    (found,) = hardware.check_device(model_config("tiny"), "cuda")
    assert found.verdict is FAILURE
    assert "Old GPU does not compute: CUDA error: no kernel image" in found.found


def test_precision_that_the_gpu_lacks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Old GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    (found,) = hardware.check_precision(model_config("tiny", precision="bf16"), "cuda")
    assert found.verdict is FAILURE
    assert "take model.precision fp16 or fp32" in found.remedy


def test_packing_needs_bitsandbytes(monkeypatch):
    config = model_config("tiny", settings={"llm_precision": "nf4"})
    found, _ = hardware.check_precision(config, "cpu")
    assert (found.verdict, found.check) == (OK, "LLM precision")
    assert "nf4 through bitsandbytes" in found.found

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    found, _ = hardware.check_precision(config, "cpu")
    assert found.verdict is FAILURE
    assert "lavis_sam[quantised]" in found.remedy


@pytest.mark.parametrize(("free", "verdict"), [(1_000_000, FAILURE), (22_000_000, WARNING), (10**9, OK), (None, NOTE)])
def test_too_little_memory(monkeypatch, free, verdict):
    monkeypatch.setattr(hardware, "free_memory", lambda: free)
    (found,) = hardware.check_memory(model_config("tiny"), "cpu")
    assert found.verdict is verdict
    assert "GB for the weights" in found.found
    assert_helpful([found])


@pytest.mark.parametrize(("free", "verdict"), [(1_000_000, FAILURE), (22_000_000, OK), (10**9, OK), (None, NOTE)])
@pytest.mark.parametrize("settings", [{}, {"device_map": "auto"}])
def test_beside_a_gpu_the_machines_memory_holds_the_weights_alone(monkeypatch, free, verdict, settings):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (22_000_000, 10**9))
    monkeypatch.setattr(hardware, "free_memory", lambda: free)
    *on_gpu, found = hardware.check_memory(model_config("tiny", settings=settings), "cuda")
    assert [(gpu.check, gpu.verdict) for gpu in on_gpu] == ([] if settings else [("GPU memory", WARNING)])
    assert (found.check, found.verdict) == ("memory", verdict)
    assert "images" not in found.found
    assert_helpful([found, *on_gpu])


def test_free_memory_is_what_this_machine_says():
    assert 10**8 < (hardware.free_memory() or 0) < 10**14
