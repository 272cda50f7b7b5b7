"""What a benchmark says of the machine that it ran on."""

import os
import platform
from typing import Any

import torch


def describe_machine(device: str = "cpu", **further: Any) -> dict[str, Any]:
    """Describe this machine: load, cores, versions, and what computes.

    Args:
        device: "cpu" or "cuda".
        further: What else the benchmark depends on, such as a library's version.
    """
    return {
        "load_average": [round(load, 1) for load in os.getloadavg()],  # above the number of cores: a busy machine
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **further,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "cpu",
    }
