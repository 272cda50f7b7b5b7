"""GPU, precision, and free memory against what the model needs."""

import importlib.metadata
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lavis_sam.doctor.findings import Finding, Verdict
from lavis_sam.errors import SamError
from lavis_sam.planning.forecast import Load, plan_generation
from lavis_sam.predictor.load_model import read_device
from lavis_sam.weights.build_model import read_precision
from lavis_sam.weights.quantised import INSTALL, read_llm_precision

AREA = "hardware"
GB = 1e9
# A sample of the longest kind that the paper evaluates: a story of five images.
IMAGES, TEXT_TOKENS = 5, 128
SMALLER = "Take model.precision bf16 or fp16, model.llm_precision nf4, a GPU with more memory, or model_type tiny."


def check_device(config: DictConfig, device: str | None) -> Iterator[Finding]:
    """Check whether there is a GPU, and whether it computes."""
    try:
        target = read_device(device)
    except SamError as error:
        yield Finding(AREA, "device", Verdict.FAILURE, str(error), _cuda_remedy())
        return
    if target.type != "cuda":
        slow = config.model_type != "tiny" and device is None
        found = f"no CUDA device for PyTorch {torch.__version__}; the CPU is used"
        if device is not None:
            found = "the CPU, as asked for"
        yield Finding(
            AREA,
            "device",
            Verdict.WARNING if slow else Verdict.OK,
            found,
            f"{config.model_type} is slow on a CPU. {_cuda_remedy()}" if slow else "",
        )
        return
    index = target.index or 0
    name = torch.cuda.get_device_name(index)
    try:
        ones = torch.ones(64, 64, device=target)
        value = float((ones @ ones).sum())
    except RuntimeError as error:
        message = str(error).splitlines()[0]
        yield Finding(AREA, "device", Verdict.FAILURE, f"{name} does not compute: {message}", _cuda_remedy())
        return
    is_right = value == 64.0**3
    verdict = Verdict.OK if is_right else Verdict.FAILURE
    yield Finding(
        AREA,
        "device",
        verdict,
        f"{name}, cuda:{index} of {torch.cuda.device_count()}"
        + ("" if is_right else f", computes {value} for {64**3}"),
        "" if is_right else "The GPU or its driver is broken: run another program on it to see.",
    )


def _cuda_remedy() -> str:
    if torch.version.cuda is None:
        return "This PyTorch was built without CUDA; install one that has it, if there is a GPU."
    if shutil.which("nvidia-smi") is None:
        return "If there is an NVIDIA GPU, install its driver."
    return f"PyTorch was built for CUDA {torch.version.cuda}; `nvidia-smi` says which version the driver supports."


def check_precision(config: DictConfig, device: str | None) -> Iterator[Finding]:
    """Check whether the device knows the precision that the model type asks for."""
    precision = read_precision(config)
    yield from _check_packing(config)
    target = read_device(device)
    if target.type == "cuda":
        is_supported = precision != torch.bfloat16 or torch.cuda.is_bf16_supported(including_emulation=False)
        found = f"{config.precision} on {torch.cuda.get_device_name(target.index or 0)}"
        remedy = "" if is_supported else "This GPU has no bf16 units; take model.precision fp16 or fp32."
        yield Finding(AREA, "precision", Verdict.OK if is_supported else Verdict.FAILURE, found, remedy)
        return
    is_slow = precision == torch.float16
    yield Finding(
        AREA,
        "precision",
        Verdict.WARNING if is_slow else Verdict.OK,
        f"{config.precision} on the CPU",
        "CPUs without fp16 units are very slow at it; take model.precision bf16, or fp32." if is_slow else "",
    )


def _check_packing(config: DictConfig) -> Iterator[Finding]:
    """Check whether what `model.llm_precision` needs is installed."""
    if not (packed := read_llm_precision(config)):
        return
    try:
        found = f"{packed} through bitsandbytes {importlib.metadata.version('bitsandbytes')}"
        yield Finding(AREA, "LLM precision", Verdict.OK, found)
    except importlib.metadata.PackageNotFoundError:
        found = f"{packed} is asked for, and bitsandbytes is not installed"
        yield Finding(AREA, "LLM precision", Verdict.FAILURE, found, f"{INSTALL}; or leave model.llm_precision empty.")


def check_memory(config: DictConfig, device: str | None) -> Iterator[Finding]:
    """Check whether the weights, and a large sample on top of them, fit into the free memory; see `lavis-sam plan`.

    Of a model on a GPU, the machine's own memory has to hold the weights alone.
    """
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
    weights, needed = plan_generation(plain, Load(images=IMAGES, text_tokens=TEXT_TOKENS))
    target = read_device(device)
    if target.type != "cuda":
        yield _fits("memory", free_memory(), weights, needed)
        return
    # A language model that is spread is another check's: see `lavis_sam.doctor.device_map`.
    if not config.get("device_map"):
        yield _fits("GPU memory", torch.cuda.mem_get_info(target)[0], weights, needed)
    yield _holds_weights(free_memory(), weights)


def _holds_weights(free: int | None, weights: int) -> Finding:
    """Check whether the machine's memory holds a model that is built there and then runs on a GPU."""
    plan = f"{weights / GB:.2f} GB for the weights, which are read into it before they go to the GPU"
    if free is None:
        return Finding(AREA, "memory", Verdict.NOTE, f"unknown here; needed: {plan}")
    found = f"{free / GB:.1f} GB free; needed: {plan}"
    if free < weights:
        remedy = "The weights do not fit. Free memory, or take model.precision bf16 or fp16, or model_type tiny."
        return Finding(AREA, "memory", Verdict.FAILURE, found, remedy)
    return Finding(AREA, "memory", Verdict.OK, found)


def _fits(name: str, free: int | None, weights: int, needed: int) -> Finding:
    plan = f"{weights / GB:.2f} GB for the weights, {needed / GB:.2f} GB with {IMAGES} images and the published beams"
    if free is None:
        return Finding(AREA, name, Verdict.NOTE, f"unknown here; needed: {plan}")
    found = f"{free / GB:.1f} GB free; needed: {plan}"
    if free < weights:
        return Finding(AREA, name, Verdict.FAILURE, found, f"The weights do not fit. {SMALLER}")
    if free < 1.1 * needed:
        remedy = "Little is left for generation: fewer beams, shorter answers. `lavis-sam plan` counts a training run."
        return Finding(AREA, name, Verdict.WARNING, found, remedy)
    return Finding(AREA, name, Verdict.OK, found)


def free_memory() -> int | None:
    """Return bytes that this machine could give to a program now; None where it does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
