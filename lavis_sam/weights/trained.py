"""What was trained, whatever it was saved as: a checkpoint of ours, a run's or adapter's folder, the authors' file."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.w_former import sam_modules
from lavis_sam.run_layout import checkpoint_of
from lavis_sam.weights.adapters import check_settings, load_adapter, read_adapter_config
from lavis_sam.weights.checkpoint_files import load_file, unwrap
from lavis_sam.weights.checkpoints import LoadReport, fill_pad_rows, load_checked, translate_released

_LOG = logging.getLogger(__name__)
# What a checkpoint of ours may say about the model that it belongs to. The paths in it are another machine's.
TRUSTED_KEYS = ("trainable", "guidance", "inject", "max_txt_len", "max_output_txt_len", "prompt")


def load_trained(model: SemanticAlignment, path: str | Path, *, check_only: bool = False) -> LoadReport:
    """Load trained layers over a model that has its base.

    Args:
        model: The model; every layer of SAM and every injected parameter that it has must be in the file. The
            projection and whatever else the file holds (an unfrozen Q-Former, …) are loaded too.
        path: The file, or the folder of an adapter (see `lavis_sam.weights.adapters`) or of a run (`run_layout`).
        check_only: Say what does not fit, and fill nothing.

    Returns:
        What was filled.

    Raises:
        SamCheckpointError: The file is missing, damaged, or from another architecture or guidance setting; or the
            adapter was trained over another base.
    """
    path = checkpoint_of(path)
    if path.is_dir():
        return load_adapter(model, path, check_only=check_only)
    source, content = f"{path} (trained layers)", load_file(path)
    state = translate_released(unwrap(content, path))
    rows = content.get("pad_rows", {}) if "model" in content else {}
    fill_pad_rows(model, rows, source, check_only=True)
    provides = (*sam_modules(), *model.injected)
    report = load_checked(model, state, provides=provides, optional=("*",), source=source, check_only=check_only)
    fill_pad_rows(model, rows, source, check_only=check_only)
    _warn_of_other_guidance(model, content, source)
    return report


def _warn_of_other_guidance(model: SemanticAlignment, content: dict[str, Any], source: str) -> None:
    """Say so where a checkpoint of ours was trained under another reading of the paper; its layers fit all the same."""
    node: Any = content
    for key in ("config", "model", "guidance"):
        node = node.get(key) if isinstance(node, dict) else None
    own = asdict(model.guidance)
    other = [
        f"{key} = {value!r}, not {own[key]!r}"
        for key, value in (node.items() if isinstance(node, dict) else ())
        if key in own and isinstance(value, str | int) and value != own[key]
    ]
    if other:
        _LOG.warning(
            "%s were trained with another model.guidance: %s; it answers as another model", source, "; ".join(other)
        )


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return what an adapter or a checkpoint of ours says about its model; the authors' file says nothing.

    Returns:
        `model_type` and `TRUSTED_KEYS` of a config's `model` node, as far as they are said.

    Raises:
        SamCheckpointError: It cannot be read, names a model type that is not packaged, or says something impossible.
    """
    path = checkpoint_of(path)
    if path.is_dir():
        adapter = read_adapter_config(path)
        return {"model_type": adapter.model_type, **adapter.model_settings()}
    content = load_file(path)
    config = content.get("config") if isinstance(content, dict) else None
    node = config.get("model") if isinstance(config, dict) else None
    if not isinstance(node, dict):
        return {}
    said = {key: node[key] for key in ("model_type", *TRUSTED_KEYS) if node.get(key) is not None}
    if node.get("lora") and isinstance(inject := node.get("inject") or {}, dict):
        said["inject"] = {**inject, "lora": node["lora"]}  # for which model.lora is short
    check_settings(said, path)
    return said
