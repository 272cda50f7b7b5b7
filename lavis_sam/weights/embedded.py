"""The embedded model's own weights: its base and SAM's trained layers, which the package holds.

They are the default of the tiny model, not a choice: a config that differs from what the layers were trained for begins
without them, and building it says so.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lavis_sam.files import PACKAGE_PREFIX
from lavis_sam.models.guidance import Guidance
from lavis_sam.run_layout import checkpoint_of
from lavis_sam.weights.adapters import read_adapter_config
from lavis_sam.weights.checkpoint_files import load_file
from lavis_sam.weights.packaged import MODEL_CONFIGS

_LOG = logging.getLogger(__name__)


def is_embedded(path: Any) -> bool:
    """Return whether a path of a config leads into the package."""
    return str(path).startswith(PACKAGE_PREFIX)


def unfit_for_embedded_layers(cfg: Mapping[str, Any]) -> str:
    """Return the first key in which a config differs from what the embedded layers belong to; empty for none."""
    if not is_embedded(cfg.get("pretrained")):
        return "pretrained"
    packaged = OmegaConf.load(MODEL_CONFIGS["tiny"]).model
    for key in ("llm_model", "trainable", "inject", "lora", "sizes"):
        if (cfg.get(key) or None) != (packaged.get(key) or None):
            return key
    own = Guidance.from_mapping(cfg.get("guidance"))
    return "" if own == Guidance.from_mapping(packaged.guidance) else "guidance"


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
    path = checkpoint_of(layers)
    if path.is_dir():
        adapter = read_adapter_config(path)
        return adapter.model_type == "tiny" and set(adapter.base.get("ln_vision", "").split()) == {"1"}
    content = load_file(path)
    config = content.get("config") if isinstance(content, dict) else None
    node = config.get("model") if isinstance(config, dict) else None
    return isinstance(node, dict) and node.get("model_type") == "tiny" and not node.get("pretrained")
