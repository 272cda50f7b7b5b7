"""From a folder in transformers' format to an `EvaluationModel`; offline, without pickles and without foreign code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from lavis_sam.baselines.chat import ChatModel
from lavis_sam.baselines.q_former import QFormerModel
from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.models.decoding import Decoding
from lavis_sam.predictor.load_model import read_device
from lavis_sam.weights.device_map import refuse_processes, require_accelerate

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Config's `model_type` of the two that have no chat template.
Q_FORMER_TYPES = ("blip-2", "instructblip")
CONFIG_FILE = "config.json"
# Nothing is fetched, nothing that came with the weights is run.
_SAFE = {"local_files_only": True, "trust_remote_code": False}


def load_model(
    name: str,
    *,
    device: str | torch.device | None = None,
    precision: str | None = None,
    decoding: Decoding | None = None,
    device_map: str | Mapping[str, int | str] | None = None,
) -> ChatModel | QFormerModel:
    """Load a model that is on this machine.

    Args:
        name: A folder, or a name that transformers finds in its local cache.
        device: Where to put it; by default the first GPU, or else the CPU.
        precision: fp32, bf16 or fp16; by default the one that it was saved in.
        decoding: How to decode; the published way if None.
        device_map: "auto" spreads the model over all GPUs and the machine's memory, through accelerate; or a mapping
            from its modules to places. The device is then not asked.

    Raises:
        SamConfigurationError: An unknown precision or device, a model that cannot be asked, or a device map in one of
            several processes or without accelerate.
        SamCheckpointError: The model is not there, not whole, or of a kind that this transformers does not know.
    """
    if precision is not None and precision not in PRECISIONS:
        raise SamConfigurationError(unknown_name("precision", precision, PRECISIONS, "--precision"))
    if device_map is not None:
        refuse_processes("--device-map")
        require_accelerate("--device-map")
    target = read_device(device)
    _check_is_there(name)
    config = _read(AutoConfig, name)
    processor = _read(AutoProcessor, name)
    dtype = PRECISIONS[precision] if precision else "auto"
    spread = {"device_map": device_map} if device_map is not None else {}
    model = _read(AutoModelForImageTextToText, name, dtype=dtype, use_safetensors=True, **spread)
    model = (model if spread else model.to(target)).eval().requires_grad_(False)
    kind = QFormerModel if config.model_type in Q_FORMER_TYPES else ChatModel
    # The manifest holds no paths: a folder goes by its own name.
    shown = Path(name).resolve().name if Path(name).is_dir() else name
    return kind(model, processor, name=shown, decoding=decoding)


def _check_is_there(name: str) -> None:
    """Refuse a model that is nowhere here, before a library asks itself whether the name could be one of a hub's."""
    if name and Path(name).is_dir():
        return
    try:
        found = try_to_load_from_cache(name, CONFIG_FILE)
    except ValueError:  # it cannot be a repository's name
        found = None
    if not isinstance(found, str):
        what = "is a file" if Path(name).is_file() else "there is no such folder"
        raise SamCheckpointError(
            f"{name}: {what}, and no model of this name in the local cache. Wanted a folder in transformers' format; "
            "nothing is downloaded here."
        )


def _read(factory: Any, name: str, **arguments: Any) -> Any:
    try:
        return factory.from_pretrained(name, **_SAFE, **arguments)
    # Damaged or foreign folders fail in whichever of many libraries meets the damage first.
    except Exception as error:
        kind = factory.__name__.removeprefix("Auto")
        problem = str(error).strip().partition("\n")[0]
        raise SamCheckpointError(
            f"{name}: found no {kind} that transformers can load ({type(error).__name__}: {problem}). Wanted a folder "
            "with config, processor files, tokenizer and safetensors weights of an image-text-to-text model; nothing "
            "is downloaded here, and code that comes with a model is not run."
        ) from error
