"""Which version of Vicuna a folder holds, as far as its configuration shows.

InstructBLIP was trained on v1.1. Every other version loads without a word and writes nonsense or nothing: v0 ends its
answers with `###` instead of `</s>`, v1.5 stands on Llama 2. v1.1 and v1.3 differ in their weights alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.checkpoint_files import read_config

WIDTHS = (4096, 5120)
VOCABULARIES = (32000, 32001)
REMEDY = (
    "InstructBLIP was trained on Vicuna v1.1 (lmsys/vicuna-7b-v1.1 or -13b-v1.1); with another version its answers are "
    "nonsense or empty. Point model.llm_model, or LAVIS_SAM_VICUNA in the environment, to that one, or use "
    "transformers' InstructBLIP folder, which holds the right one"
)


@dataclass(frozen=True)
class VicunaVersion:
    """What a configuration shows.

    Attributes:
        name: "v0", "v1.1", "v1.3", "v1.5", "v1.1 or v1.3", or "unknown".
        evidence: What it was known by.
        is_wanted: Whether InstructBLIP may have been trained on it; None when it cannot be said.
    """

    name: str
    evidence: str
    is_wanted: bool | None


def guess_version(config: Mapping[str, Any]) -> VicunaVersion:
    """Tell the version from config.json of a language model's folder."""
    kind = {key: config.get(key) for key in ("model_type", "hidden_size", "vocab_size")}
    if kind["model_type"] != "llama" or kind["hidden_size"] not in WIDTHS or kind["vocab_size"] not in VOCABULARIES:
        return VicunaVersion("unknown", ", ".join(f"{key} {value!r}" for key, value in kind.items()), None)
    positions, eps = config.get("max_position_embeddings", 2048), config.get("rms_norm_eps", 1e-6)
    if positions != 2048 or eps == 1e-5:
        return VicunaVersion("v1.5", f"{positions} positions and rms_norm_eps {eps}, as Llama 2 has", False)
    if config.get("vocab_size") == 32001:
        return VicunaVersion("v0", "a vocabulary of 32001; v1.1 has 32000", False)
    said = str(config.get("_name_or_path", ""))
    for name in ("v1.3", "v1.1"):
        if name in said or said.endswith(name[1:]):
            return VicunaVersion(name, f"_name_or_path {said!r}", name == "v1.1")
    return VicunaVersion("v1.1 or v1.3", "their configurations do not differ", True)


def refuse_other_version(folder: str | Path) -> None:
    """Refuse a Vicuna that InstructBLIP was not trained on, before gigabytes are read.

    Args:
        folder: A language model's folder; only its config.json is read.

    Raises:
        SamCheckpointError: It is another version, for certain.
    """
    version = guess_version(read_config(Path(folder) / "config.json", f"{REMEDY}."))
    if version.is_wanted is False:
        raise SamCheckpointError(f"{folder}: this is Vicuna {version.name} ({version.evidence}). {REMEDY}.")
