"""A Vicuna folder of transformers': which version it holds, as far as its configuration shows, and its weights.

InstructBLIP was trained on v1.1. Every other version loads without a word and writes nonsense or nothing: v0 ends its
answers with `###` instead of `</s>`, v1.5 stands on Llama 2. v1.1 and v1.3 differ in their weights alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lavis_sam.errors import SamCheckpointError
from lavis_sam.models.language.language_model import add_pad_row, empty_language_model
from lavis_sam.models.language.tokenizers import LLM_REMEDY
from lavis_sam.weights.checkpoint_files import read_checkpoint, read_config
from lavis_sam.weights.checkpoints import LoadReport, load_checked, require_complete
from lavis_sam.weights.instructblip import read_llama
from lavis_sam.weights.streaming import INDEX_FILE, SINGLE_FILE, StreamedTensors, old_parts, open_folder

WIDTHS = {4096: "7B", 5120: "13B"}
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
        evidence: What it was told by.
        is_wanted: Whether InstructBLIP may have been trained on it; None when it cannot be said.
    """

    name: str
    evidence: str
    is_wanted: bool | None


def guess_version(config: Mapping[str, Any]) -> VicunaVersion:
    """Tell the version from config.json of a language model's folder."""
    if config.get("model_type") != "llama" or config.get("hidden_size") not in WIDTHS:
        kind = f"model_type {config.get('model_type')!r}, hidden_size {config.get('hidden_size')!r}"
        return VicunaVersion("unknown", kind, None)
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


def load_llm(folder: str | Path, dtype: torch.dtype, *, vocabulary: int) -> LlamaForCausalLM:
    """Loads a Vicuna folder as the frozen LLM, with the [PAD] row, one tensor (of old files: one part) at a time.

    transformers' own loading keeps a whole file in memory beside the model where the types differ, and says which
    parameter does not fit only in its log.

    Args:
        folder: a local transformers folder (config.json, weights); nothing is looked up elsewhere.
        dtype: the dtype to keep the weights in.
        vocabulary: pieces of its tokenizer and `[PAD]`, that is `len(tokenizer)`.

    Raises:
        SamCheckpointError: the folder is missing or damaged, holds other parameters, or has another vocabulary.
    """
    path = Path(folder).expanduser()
    if not (path / "config.json").is_file():
        raise SamCheckpointError(f"The LLM is missing: no file {path / 'config.json'}. {LLM_REMEDY}.")
    llm_model = empty_language_model(_read_llama(path), dtype)
    require_complete(llm_model, _load_parts(llm_model, path))
    add_pad_row(llm_model, vocabulary)
    return llm_model.requires_grad_(False).eval()


def _read_llama(folder: Path) -> LlamaConfig:
    """config.json of a folder that holds a Llama."""
    settings = read_config(folder / "config.json", f"{LLM_REMEDY}.")
    architecture = settings.get("model_type")
    if architecture != "llama":
        raise SamCheckpointError(f"The LLM in {folder} is a {architecture!r}, a 'llama' is wanted. {LLM_REMEDY}.")
    return read_llama(folder, settings)


def _load_parts(llm_model: LlamaForCausalLM, folder: Path) -> list[LoadReport]:
    """Fill a language model from its folder, whichever kind of weight files it has."""
    parts = old_parts(folder)
    if (folder / INDEX_FILE).is_file() or (folder / SINGLE_FILE).is_file():
        tensors = StreamedTensors(open_folder(folder))
        return [load_checked(llm_model, tensors, provides=("*",), source=f"{folder} (the LLM)")]
    if not parts:
        raise SamCheckpointError(
            f"The LLM in {folder} has no weights: neither safetensors nor pytorch_model.bin. {LLM_REMEDY}."
        )
    return [
        load_checked(llm_model, read_checkpoint(part), provides=(), optional=("*",), source=f"{part} (part of the LLM)")
        for part in parts
    ]
