"""From a name or a path to a model: every kind of checkpoint, known by what it holds.

    "tiny", "vicuna7b", "vicuna13b"     a packaged model type; its weights come from the config or the environment
    an adapter's folder                 the trained layers over the base of its model type
    an InstructBLIP folder              transformers' layout: InstructBLIP, and SAM's layers as training finds them
    a checkpoint file                   of a training run of ours, or the authors'
    a run's folder                      its best checkpoint, or else its last
    "user/adapter", no path here        an adapter's repository on the Hugging Face hub

Files choose among what the package knows (model type, guidance, what is trained, text lengths); the paths that may
stand in them are another machine's and are not followed. Their texts are literal: no `${…}` in them is looked up.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lavis_sam.config.literal import literal
from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.files import PACKAGE_PREFIX, storage_path
from lavis_sam.memory import naming_samples
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.run_layout import checkpoint_of
from lavis_sam.weights.adapters import is_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.embedded import fill_guidance
from lavis_sam.weights.hub import download_adapter, is_repository
from lavis_sam.weights.instructblip import CONFIG_FILE, InstructBlipFolder
from lavis_sam.weights.locations import llm_tokenizer_path
from lavis_sam.weights.packaged import DEFAULT_MODEL_TYPE, MODEL_CONFIGS, locate_folder
from lavis_sam.weights.tokenizers import load_tokenizer
from lavis_sam.weights.trained import read_settings


def load_model(
    source: str | Path,
    *,
    base: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    precision: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> SemanticAlignment:
    """Build a model for evaluation, with its weights.

    Args:
        source: See the module.
        base: InstructBLIP, where it is not where config and environment say: transformers' folder or LAVIS's file.
        checkpoint: Trained layers over `source`: a checkpoint file, a run's folder or an adapter's;
            "package:assets/tiny/sam" are layers of the released code's reading, which ship with the tiny model.
        device: Where to put it; by default the first GPU, or else the CPU.
        precision: fp32, bf16 or fp16 for the frozen vision encoder and language model; by default the model type's.
        settings: Further keys of the config's `model` node, such as {"guidance": {"context": "others"}}.

    Raises:
        SamConfigurationError: An unknown name or setting, a device that is not there, or too little memory.
        SamCheckpointError: Files are missing, damaged or do not fit.
    """
    target = read_device(device)
    config = model_config(source, base=base, checkpoint=checkpoint, precision=precision, settings=settings)
    with naming_samples(
        lambda: f"loading {source} to {target}",
        "Take a smaller precision (bf16, fp16), another device, or close what else uses its memory; `lavis-sam doctor` "
        "says how much the weights need.",
    ):
        return build_model(config, device=target).eval()


def model_config(
    source: str | Path,
    *,
    base: str | Path | None = None,
    checkpoint: str | Path | None = None,
    precision: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> DictConfig:
    """Return the `model` node of the config that describes what `load_model` builds; the arguments are its.

    Raises:
        SamConfigurationError: An unknown name or setting.
        SamCheckpointError: A folder or file is none of the known kinds.
    """
    config = _config_of(str(source))
    said: dict[str, Any] = {}
    if checkpoint is not None:
        packaged = str(checkpoint).startswith(PACKAGE_PREFIX)
        checkpoint = checkpoint_of(storage_path(str(checkpoint)) if packaged else Path(checkpoint).expanduser())
        said = read_settings(checkpoint)
        model_type = said.pop("model_type", config.model_type)
        if model_type != config.model_type:
            raise SamConfigurationError(
                f"{checkpoint} was trained over {model_type}, and {source} is {config.model_type}. Give the model that "
                "it belongs to."
            )
        said["finetuned"] = str(checkpoint)
    changes = {**literal(said, str(checkpoint)), **(settings or {})}
    for key in changes:
        if key not in config:
            raise SamConfigurationError(unknown_name("key", key, map(str, config), "model"))
    if precision is not None:
        changes["precision"] = precision
    if base is not None:
        changes["pretrained"] = literal(str(base), "base")
    try:
        config = OmegaConf.merge(config, changes)
        if base is not None and Path(locate_folder(str(base))).is_dir():
            config = _with_sizes(config, InstructBlipFolder.read(locate_folder(str(base))))
        OmegaConf.to_container(config, resolve=True)
        fill_guidance(config)
    except OmegaConfBaseException as error:
        raise SamConfigurationError(f"the settings of {source} do not make a model config: {error}") from error
    return config


def read_device(device: str | torch.device | None) -> torch.device:
    """Return a device by its name; by default the first GPU, or else the CPU.

    Raises:
        SamConfigurationError: There is no such device here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise SamConfigurationError(f"device is {str(device)!r}; choose cpu, cuda or cuda:<number>.") from error
    count = torch.cuda.device_count()
    if found.type == "cuda" and (found.index or 0) >= count:
        raise SamConfigurationError(
            f"device is {str(device)!r}, but PyTorch {torch.__version__} sees {count} CUDA devices. Choose cpu, or "
            "install a PyTorch that supports this GPU (`lavis-sam doctor` says more)."
        )
    return found


def _config_of(source: str) -> DictConfig:
    """Return the packaged config of a source, with what the source says about itself."""
    if source in MODEL_CONFIGS:
        return _packaged(source)
    path = checkpoint_of(Path(locate_folder(source)))
    if not path.exists() and is_repository(source):
        path = download_adapter(source)
    if path.is_file() or (path.is_dir() and is_adapter(path)):
        said = read_settings(path)
        model_type = said.pop("model_type", DEFAULT_MODEL_TYPE)  # the authors' file says nothing
        return OmegaConf.merge(_packaged(model_type), literal({**said, "finetuned": str(path)}, source))
    if path.is_dir() and (path / CONFIG_FILE).is_file():
        folder = InstructBlipFolder.read(path)
        return _with_sizes(
            OmegaConf.merge(_packaged(_model_type(folder)), literal({"pretrained": str(path)}, source)), folder
        )
    known = ", ".join(MODEL_CONFIGS)
    if path.is_dir():
        raise SamCheckpointError(
            f"{path}: neither an adapter (sam_adapter.safetensors), a run (checkpoint_*.pth) nor transformers' "
            f"InstructBLIP (config.json) is in this folder. Give one of these, a checkpoint file, or one of {known}."
        )
    raise SamConfigurationError(
        f"{source!r} is no packaged model type ({known}), and there is no such file or folder. Check the spelling."
    )


def _packaged(model_type: str) -> DictConfig:
    return OmegaConf.load(MODEL_CONFIGS[model_type]).model


def _model_type(folder: InstructBlipFolder) -> str:
    """Find a folder's packaged model type by the width of its language model; InstructBLIP's own where none fits."""
    languages = {name: _packaged(name).sizes.language for name in MODEL_CONFIGS}
    widths = {sizes.width: name for name, sizes in languages.items() if sizes}
    return widths.get(folder.llm_config.hidden_size, DEFAULT_MODEL_TYPE)


def _with_sizes(config: DictConfig, folder: InstructBlipFolder) -> DictConfig:
    """Give a config the sizes of an InstructBLIP folder; interaction layers beyond its depth become its last."""
    if config.sizes.language is None:  # the language model is another one
        sizes = {"vision": asdict(folder.vision), "q_former": asdict(folder.q_former)}
    else:
        sizes = asdict(folder.sizes(len(load_tokenizer(llm_tokenizer_path(config, folder)))))
    layers = folder.q_former.layers
    guidance = {key: min(int(config.guidance[key] or layers), layers) for key in ("layer_l", "layer_k")}
    return OmegaConf.merge(config, {"sizes": sizes, "guidance": guidance})
