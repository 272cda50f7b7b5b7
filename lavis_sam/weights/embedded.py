"""The embedded model's own weights: its base and SAM's trained layers, which the package holds.

Layers ship in two readings of the paper, and `finetuned: package:assets/tiny`, the tiny model's default, stands for
those whose guidance the config has. It is a default, not a choice: a config that differs from what layers were trained
for begins without them, and building it says so.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lavis_sam.files import PACKAGE_PREFIX, read_json, storage_path
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.run_layout import checkpoint_of
from lavis_sam.weights.packaged import MODEL_CONFIGS

_READINGS = ("package:assets/tiny/sam_others", "package:assets/tiny/sam")
_LOG = logging.getLogger(__name__)


def is_embedded(path: Any) -> bool:
    """Return whether a path of a config leads into the package."""
    return str(path).startswith(PACKAGE_PREFIX)


def embedded_layers(cfg: Mapping[str, Any]) -> tuple[str, str]:
    """Choose the embedded layers for a config whose `finetuned` leads into the package.

    Returns:
        Where they are, and ""; or "" and the first key in which the config differs from what they belong to.
    """
    if not is_embedded(cfg.get("pretrained")):
        return "", "pretrained"
    packaged = OmegaConf.load(MODEL_CONFIGS["tiny"]).model
    for key in ("llm_model", "trainable", "inject", "lora", "sizes"):
        if (cfg.get(key) or None) != (packaged.get(key) or None):
            return "", key
    wanted, depth = str(cfg["finetuned"]), packaged.sizes.q_former.layers
    own = Guidance.from_mapping(cfg.get("guidance")).at_depth(depth) if _says_guidance(cfg) else None
    for place in _READINGS if wanted == packaged.finetuned else (wanted,):
        if own is None or _trained_for(place).at_depth(depth) == own:
            return place, ""
    return "", "guidance"


def guidance_of(cfg: Mapping[str, Any]) -> Guidance:
    """Return the guidance of a `model` node: as it says, or else what the embedded layers that it gets are for.

    Raises:
        SamConfigurationError: An unknown key or value.
    """
    if not _says_guidance(cfg) and cfg.get("load_finetuned", True) and is_embedded(cfg.get("finetuned")):
        place, _ = embedded_layers(cfg)
        if place:
            return _trained_for(place)
    return Guidance.from_mapping(cfg.get("guidance"))


def fill_guidance(cfg: DictConfig) -> None:
    """Write `guidance_of` into the `model` node where that says null, so that a run's files say how its model works."""
    depth = ModelSizes.from_mapping(cfg.get("sizes")).q_former.layers
    for key, value in asdict(guidance_of(cfg).at_depth(depth)).items():
        if key in cfg.guidance and cfg.guidance[key] is None:
            cfg.guidance[key] = value


def _says_guidance(cfg: Mapping[str, Any]) -> bool:
    said = cfg.get("guidance") or {}
    return not isinstance(said, Mapping) or any(value is not None for value in said.values())


def _trained_for(place: str) -> Guidance:
    """Read what packaged layers were trained for; without PyTorch, which a look at a configuration does not need."""
    content = read_json(storage_path(place) / "config.json", remedy="Name an adapter of the package.", wanted=dict)
    return Guidance.from_mapping(content.get("guidance"))


def with_base_of_layers(cfg: Mapping[str, Any], layers: str) -> Mapping[str, Any]:
    """Return the config, with the tiny model's random base where its trained layers belong to that one.

    Args:
        cfg: The `model` node of a config.
        layers: The checkpoint or adapter that it names; empty for none.

    Raises:
        SamCheckpointError: It cannot be read.
    """
    if not layers or is_embedded(cfg["finetuned"]) or not is_embedded(cfg.get("pretrained")):
        return cfg
    if not stand_on_random_base(layers):
        return cfg
    _LOG.warning("%s was trained over the tiny model's random base, and gets that one (model.pretrained=)", layers)
    return {**cfg, "pretrained": ""}


def stand_on_random_base(layers: str | Path) -> bool:
    """Return whether trained layers belong to the tiny model's random base, as all did before it had a trained one.

    A run's checkpoint says `model.pretrained`, or is older. An adapter knows a few numbers of its base: the layer norm
    of one that was never trained has its initial ones. The authors' format says nothing.

    Raises:
        SamCheckpointError: They cannot be read.
    """
    from lavis_sam.weights.adapters import read_adapter_config
    from lavis_sam.weights.checkpoint_files import load_file

    path = checkpoint_of(layers)
    if path.is_dir():
        adapter = read_adapter_config(path)
        return adapter.model_type == "tiny" and set(adapter.base.get("ln_vision", "").split()) == {"1"}
    content = load_file(path)
    config = content.get("config") if isinstance(content, dict) else None
    node = config.get("model") if isinstance(config, dict) else None
    return isinstance(node, dict) and node.get("model_type") == "tiny" and not node.get("pretrained")
