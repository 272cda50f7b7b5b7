"""Language models from transformers folders (Vicuna, Llama, Qwen2, …), one tensor at a time.

transformers' own `from_pretrained` was measured beside this loader: a Llama of 0.54 billion random numbers in bf16, one
file of 1.07 GB (parts are the same), transformers 5.23; the peak of resident memory beyond what the imports take, as a
multiple of the loaded model.

    loaded as           bf16    fp16    fp32
    this loader         1.01    1.02    1.01
    from_pretrained     1.01    2.01    1.50

Released files are often of another type than `model.precision` (Vicuna's are fp16), and transformers says which
parameter does not fit only in its log. So weights are read here, and transformers gives the architecture.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from lavis_sam.errors import SamCheckpointError
from lavis_sam.models.language.language_model import add_pad_row, empty_language_model
from lavis_sam.models.language.tokenizers import LLM_REMEDY
from lavis_sam.models.sizes import LanguageSizes
from lavis_sam.weights.checkpoint_files import read_checkpoint, read_config
from lavis_sam.weights.checkpoints import LoadReport, load_checked, require_complete
from lavis_sam.weights.part_index import INDEX_FILE
from lavis_sam.weights.streaming import SINGLE_FILE, StreamedTensors, old_parts, open_folder

CONFIG_FILE = "config.json"
# transformers' names of the architectures that the tests load, run and compare with transformers' own loading.
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
# Far above any model: only numbers that would build one for hours are refused before the weights are seen.
MAX_LAYERS, MAX_WIDTH, MAX_ROWS = 1000, 1 << 17, 1 << 24
HEAD = "lm_head.weight"


def read_number(folder: Path, section: Mapping[str, Any], key: str, default: int, most: int = MAX_WIDTH) -> int:
    """Return a size that config.json of `folder` holds in `section`.

    Raises:
        SamCheckpointError: It is no whole number from 1 to `most`.
    """
    value = section.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise SamCheckpointError(
            f"{folder / CONFIG_FILE}: {key} is {value!r:.200}, a whole number from 1 to {most} is wanted."
        )
    return value


def read_fraction(folder: Path, section: Mapping[str, Any], key: str, default: float) -> float:
    """Return a small number, such as a norm's epsilon, that config.json of `folder` holds in `section`.

    Raises:
        SamCheckpointError: It is no number from 0 to 1.
    """
    value = section.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise SamCheckpointError(f"{folder / CONFIG_FILE}: {key} is {value!r:.200}, a number from 0 to 1 is wanted.")
    return float(value)


def language_config(folder: Path, text: Mapping[str, Any], **fixed: Any) -> PretrainedConfig:
    """Return transformers' configuration of a language model, with special ids that a folder cannot spoil.

    The ids are Llama's, and unused: those that count are the tokenizer's. (A folder's may be 0, 1 and -1.)

    Args:
        folder: The folder, for messages.
        text: The entries of its config.json that are about the language model.
        fixed: Entries that stand whatever the folder says.

    Raises:
        SamCheckpointError: Sizes are impossible, or transformers cannot make a configuration of it.
    """
    for key, most in (
        ("hidden_size", MAX_WIDTH),
        ("intermediate_size", MAX_WIDTH),
        ("num_hidden_layers", MAX_LAYERS),
        ("num_attention_heads", MAX_WIDTH),
        ("vocab_size", MAX_ROWS),
    ):
        read_number(folder, text, key, 1, most=most)
    for key, most in (
        ("max_position_embeddings", MAX_ROWS),
        ("num_key_value_heads", MAX_WIDTH),
        ("head_dim", MAX_WIDTH),
    ):
        if text.get(key) is not None:
            read_number(folder, text, key, 1, most=most)
    for key in ("rms_norm_eps", "initializer_range"):
        read_fraction(folder, text, key, 0.0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    kind = str(text.get("model_type"))
    try:
        return type(AutoConfig.for_model(kind)).from_dict({**text, **ids, **fixed})
    except Exception as error:  # transformers' versions differ in what they raise
        raise SamCheckpointError(
            f"{folder / CONFIG_FILE}: no {kind.capitalize()} configuration ({error}). Fetch the folder again."
        ) from error


def read_language_config(folder: str | Path) -> PretrainedConfig:
    """Read config.json of a language model's folder.

    Raises:
        SamCheckpointError: It is missing or damaged, or of another architecture.
    """
    path = Path(folder).expanduser()
    if not (path / CONFIG_FILE).is_file():
        raise SamCheckpointError(f"The LLM is missing: no file {path / CONFIG_FILE}. {LLM_REMEDY}.")
    settings = read_config(path / CONFIG_FILE, f"{LLM_REMEDY}.")
    found = settings.get("model_type")
    if found not in ARCHITECTURES:
        wanted = ", ".join(map(repr, ARCHITECTURES))
        raise SamCheckpointError(f"The LLM in {path} is a {found!r}, one of {wanted} is wanted. {LLM_REMEDY}.")
    return language_config(path, settings)


def language_sizes(config: PretrainedConfig) -> LanguageSizes:
    """Return the sizes of a language model by its configuration."""
    return LanguageSizes(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        intermediate=config.intermediate_size,
        vocabulary=config.vocab_size,
        max_positions=config.max_position_embeddings,
        kv_heads=groups if (groups := config.num_key_value_heads) != config.num_attention_heads else None,
    )


def load_llm(folder: str | Path, dtype: torch.dtype, *, vocabulary: int | None = None) -> PreTrainedModel:
    """Load the frozen language model of a folder, one tensor (of old files: one part) at a time.

    Args:
        folder: A local transformers folder (config.json, weights); nothing is looked up elsewhere.
        dtype: The type to keep the weights in.
        vocabulary: Pieces of its tokenizer and `[PAD]`, whose row is added; None leaves the tables as they are.

    Raises:
        SamCheckpointError: The folder is missing or damaged, holds other parameters, or has another vocabulary.
    """
    path = Path(folder).expanduser()
    config = read_language_config(path)
    llm_model = empty_language_model(config, dtype)
    # A tied head is the embedding: what a file holds of it, if anything, is the same table again.
    absent = (HEAD,) if config.tie_word_embeddings else ()
    require_complete(llm_model, _load_parts(llm_model, path, absent), initialised=absent)
    if absent:
        llm_model.get_output_embeddings().weight = llm_model.get_input_embeddings().weight
    if vocabulary is not None:
        add_pad_row(llm_model, vocabulary)
    return llm_model.requires_grad_(False).eval()


def _load_parts(llm_model: PreTrainedModel, folder: Path, ignore: tuple[str, ...]) -> list[LoadReport]:
    """Fill a language model from its folder, whichever kind of weight files it has."""
    if (folder / INDEX_FILE).is_file() or (folder / SINGLE_FILE).is_file():
        tensors = StreamedTensors(open_folder(folder))
        return [load_checked(llm_model, tensors, provides=("*",), ignore=ignore, source=f"{folder} (the LLM)")]
    parts = old_parts(folder)
    if not parts:
        raise SamCheckpointError(
            f"The LLM in {folder} has no weights: neither safetensors nor pytorch_model.bin. {LLM_REMEDY}."
        )
    return [
        load_checked(
            llm_model,
            read_checkpoint(part),
            provides=(),
            optional=("*",),
            ignore=ignore,
            source=f"{part} (part of the LLM)",
        )
        for part in parts
    ]
