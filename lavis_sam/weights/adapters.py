"""Adapters: what was trained, as a folder that can be given away (17 MB for the real model).

    sam_adapter.safetensors    SAM's layers, the projection, and the [PAD] rows
    config.json                how they work: model type, guidance, text lengths; and the base that they belong to
    README.md                  a model card

The base is not in it. Its fingerprint is: a few numbers of each part, so that an adapter is never put on another Vicuna
without a word. config.json may come from a stranger: it chooses among what this package knows, and names no path.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lavis_sam.config.literal import literal
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.files import write_json, write_safetensors, write_text
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.w_former import is_trained, sam_modules
from lavis_sam.weights.checkpoint_files import read_checkpoint, read_config
from lavis_sam.weights.checkpoints import (
    LoadReport,
    fill_pad_rows,
    library_versions,
    load_checked,
    pad_rows,
    trainable_state_dict,
)
from lavis_sam.weights.fingerprints import compare_fingerprints, fingerprint
from lavis_sam.weights.packaged import DEFAULT_MODEL_TYPE, MODEL_TYPES

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "sam_adapter.safetensors"
CARD_FILE = "README.md"
FORMAT = "lavis_sam adapter"
FORMAT_VERSION = 1
PAD_PREFIX = "pad_rows."
REMEDY = "Give a folder that `lavis-sam export --format adapter` made."


# What a file may say of its model, and of which type it is; lengths are numbers of tokens.
SETTINGS: dict[str, type] = {
    "model_type": str,
    "trainable": str,
    "guidance": dict,
    "max_txt_len": int,
    "max_output_txt_len": int,
    "prompt": str,
    "base": dict,
    "inject": dict,
}
MOST_TOKENS = 1 << 20


def check_settings(values: Mapping[str, Any], path: str | Path) -> None:
    """Check what a file says of its model, as far as it says it.

    Args:
        values: Keys of `SETTINGS` and what the file says; others are not looked at.
        path: The file, for messages.

    Raises:
        SamCheckpointError: A value is of another type, or impossible; or the model type is not packaged.
    """
    for key, kind in SETTINGS.items():
        value = values.get(key)
        literal(value, f"{path}: {key}")
        if key in values and (not isinstance(value, kind) or isinstance(value, bool)):
            raise SamCheckpointError(f"{path}: {key} is {value!r:.200}, a value of type {kind.__name__} is wanted.")
        if kind is int and key in values and not 1 <= values[key] <= MOST_TOKENS:
            raise SamCheckpointError(f"{path}: {key} is {value!r:.200}, a number from 1 to {MOST_TOKENS} is wanted.")
    if values.get("model_type", DEFAULT_MODEL_TYPE) not in MODEL_TYPES:
        raise SamCheckpointError(
            f"{path}: its model_type is {values['model_type']!r:.200}, one of {', '.join(MODEL_TYPES)} is wanted. It "
            "was made by another version of lavis_sam."
        )
    try:
        Guidance.from_mapping(values.get("guidance"))
    except (SamConfigurationError, TypeError) as error:
        raise SamCheckpointError(f"{path}: {error}. It is damaged, or of another version of lavis_sam.") from error


@dataclass(frozen=True)
class AdapterConfig:
    """What config.json says.

    Attributes:
        model_type: The packaged model type whose base it was trained over.
        trainable: What was trained, see `lavis_sam.models.trainable`.
        guidance: The `guidance` node.
        max_txt_len: Longest instruction in tokens.
        max_output_txt_len: Longest training target in tokens.
        prompt: The instruction when a batch brings none.
        base: Fingerprint of the base, see `lavis_sam.weights.fingerprints`.
        inject: The `inject` node: which modules were injected, see `lavis_sam.weights.injection`.
    """

    model_type: str
    trainable: str
    guidance: Mapping[str, Any]
    max_txt_len: int
    max_output_txt_len: int
    prompt: str
    base: Mapping[str, str]
    inject: Mapping[str, Any] = field(default_factory=dict)

    def model_settings(self) -> dict[str, Any]:
        """Return what has to stand in the `model` node of a config that loads the adapter."""
        return {key: value for key, value in asdict(self).items() if key not in ("model_type", "base")}


def save_adapter(
    folder: str | Path,
    model: SemanticAlignment,
    *,
    model_type: str,
    trainable: str = "sam",
    inject: Mapping[str, Any] | None = None,
) -> Path:
    """Write the trained layers of a model as an adapter; files of that name in the folder are replaced.

    Args:
        folder: The folder to make.
        model: The model, with its base.
        model_type: The packaged model type that the base belongs to.
        trainable: The config's word for what was trained.
        inject: The config's `inject` node.

    Returns:
        The folder.
    """
    folder = Path(folder)
    trained = trainable_state_dict(model)
    count = sum(tensor.numel() for tensor in trained.values())
    config = AdapterConfig(
        model_type=model_type,
        trainable=trainable,
        guidance=asdict(model.guidance),
        max_txt_len=model.max_txt_len,
        max_output_txt_len=model.max_output_txt_len,
        prompt=model.prompt,
        base=fingerprint(model),
        inject=dict(inject or {}),
    )
    rows = {f"{PAD_PREFIX}{name}": row for name, row in pad_rows(model).items()}
    write_safetensors(folder / WEIGHTS_FILE, trained | rows, {"format": "pt", "made_by": FORMAT})
    header = {"format": FORMAT, "format_version": FORMAT_VERSION, "trained_parameters": count}
    if is_trained(model) is False:  # which others say by leaving it out, as they always did
        header["is_trained"] = False
    said = {key: value for key, value in asdict(config).items() if key != "inject" or value}
    write_json(folder / CONFIG_FILE, header | said | {"versions": library_versions()})
    write_text(folder / CARD_FILE, _card(config, count, untrained=is_trained(model) is False))
    return folder


def is_adapter(folder: str | Path) -> bool:
    """Return whether a folder is an adapter's, by its weights file."""
    return (Path(folder) / WEIGHTS_FILE).is_file()


def read_adapter_config(folder: str | Path) -> AdapterConfig:
    """Read and check config.json of an adapter.

    Raises:
        SamCheckpointError: It is missing, damaged or of another format, or names a model type that is not packaged.
    """
    path = Path(folder) / CONFIG_FILE
    values = read_config(path, REMEDY)
    if values.get("format") != FORMAT:
        raise SamCheckpointError(f"{path}: format is {values.get('format')!r}, {FORMAT!r} is wanted. {REMEDY}")
    if values.get("format_version") != FORMAT_VERSION:
        raise SamCheckpointError(
            f"{path}: format_version is {values.get('format_version')!r}, this lavis_sam reads {FORMAT_VERSION}. "
            "Install the version that the adapter was made with (`versions` in this file), or a newer one."
        )
    values.setdefault("inject", {})  # which adapters without injected modules leave out
    for key in SETTINGS:
        if key not in values:
            raise SamCheckpointError(f"{path}: {key} is missing. {REMEDY}")
    check_settings(values, path)
    return AdapterConfig(**{key: values[key] for key in SETTINGS})


def load_adapter(model: SemanticAlignment, folder: str | Path, *, check_only: bool = False) -> LoadReport:
    """Load an adapter over a model that has its base.

    Args:
        model: A model with the adapter's guidance and injected modules.
        folder: The adapter.
        check_only: Say what does not fit, and fill nothing.

    Returns:
        What was filled.

    Raises:
        SamCheckpointError: A file is missing or damaged, or guidance, sizes or base are not those of its training.
    """
    config = read_adapter_config(folder)
    source = f"{Path(folder) / WEIGHTS_FILE} (adapter)"
    own = asdict(model.guidance)
    other = [
        f"{key} = {value!r}, not {own.get(key)!r}" for key, value in config.guidance.items() if own.get(key) != value
    ]
    if other:
        raise SamCheckpointError(
            f"{Path(folder) / CONFIG_FILE}: the adapter was trained with another model.guidance: {', '.join(other)}. "
            "Give the model the adapter's guidance; SamPredictor.from_pretrained(folder) does."
        )
    state = read_checkpoint(Path(folder) / WEIGHTS_FILE)
    rows = {name.removeprefix(PAD_PREFIX): state.pop(name) for name in list(state) if name.startswith(PAD_PREFIX)}
    problems = compare_fingerprints(config.base, fingerprint(model))
    if problems:
        raise SamCheckpointError(
            f"{Path(folder) / CONFIG_FILE}: the adapter was trained over another base; different are "
            f"{', '.join(problems)}. Give the model the {config.model_type} weights that it belongs to "
            "(`lavis-sam doctor` says what yours are)."
        )
    fill_pad_rows(model, rows, source, check_only=True)
    provides = (*sam_modules(), *model.injected)
    report = load_checked(model, state, provides=provides, optional=("*",), source=source, check_only=check_only)
    fill_pad_rows(model, rows, source, check_only=check_only)
    return report


def _card(config: AdapterConfig, count: int, *, untrained: bool) -> str:
    warning = "**These layers are untrained: they add nothing, so the model answers as its base alone does.**"
    guidance = "\n".join(f"| `{key}` | `{value}` |" for key, value in config.guidance.items())
    return f"""---
library_name: lavis_sam
tags: [image-to-text, multi-image, semantic-alignment]
---
# SAM adapter for `{config.model_type}`

{warning if untrained else ""}
The trained layers ({count:,} parameters) of SAM, *Semantic Alignment for Multimodal Large Language Models* (Wu et al.,
ACM MM 2024), as lavis_sam trains them. The base they stand on, InstructBLIP with its language model, is frozen and not
in this folder.

```python
from lavis_sam import SamPredictor

predictor = SamPredictor.from_pretrained("path/to/this/folder")
print(predictor.caption(["one.jpg", "two.jpg"], "What do both images show?"))
```

| guidance | |
|---|---|
{guidance}

Trained on, evaluated with, intended for: to be filled in by whoever publishes it. The licences of the base (Vicuna's
and Llama's among them) also cover what is built on it.
"""
