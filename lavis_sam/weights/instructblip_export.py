"""Writing the base as transformers' InstructBLIP folder, which `instructblip` reads back and transformers loads.

SAM's own layers have no place in it: what transformers makes of the folder is InstructBLIP, with the projection that
the model has (the trained one, if it was trained).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertTokenizerFast

from lavis_sam.datasets.images import IMAGE_MEAN, IMAGE_STD
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.files import write_bytes, write_json, write_safetensors, write_text
from lavis_sam.models.language.tokenizers import LlamaSentencePieceTokenizer
from lavis_sam.models.w_former import sam_modules
from lavis_sam.weights.checkpoint_files import read_config
from lavis_sam.weights.checkpoints import PAD_TABLES
from lavis_sam.weights.device_map import held_parameters
from lavis_sam.weights.instructblip import (
    CONFIG_FILE,
    LLM_TOKENIZER_FILE,
    OUR_KEY,
    Q_FORMER_TOKENIZER_FOLDER,
    QKV_BIAS,
    to_transformers,
)
from lavis_sam.weights.part_index import INDEX_FILE
from lavis_sam.weights.streaming import SINGLE_FILE

PART_BYTES = 1 << 30
BICUBIC = 3
IMAGE_TOKEN = "<image>"
UNFINISHED_FILE = "unfinished.txt"
# The files of weights, and what a killed export left half written of one.
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|\.model[-.].*\.tmp")


@dataclass(frozen=True)
class Entry:
    """A tensor to write: its name, size and type in the file, and how it is made when its turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.dtype.itemsize


def save_instructblip(
    folder: str | Path, model: Any, *, part_bytes: int = PART_BYTES, dtype: torch.dtype | None = None
) -> Path:
    """Write the base of a model as transformers' InstructBLIP folder; what is there of an earlier one is replaced.

    Until it is whole, the folder has no config.json and so is none, and `is_export` knows it by another file.

    Args:
        folder: The folder to make.
        model: A `SemanticAlignment`.
        part_bytes: The most bytes of a safetensors file (one larger tensor has a file of its own).
        dtype: Of all numbers in the files; each parameter's own by default.

    Returns:
        The folder.

    Raises:
        SamConfigurationError: See `check_base`; nothing was written.
    """
    check_base(model)
    folder = Path(folder)
    entries = [replace(entry, dtype=dtype or entry.dtype) for entry in _entries(model).values()]
    parts = list(_in_parts(entries, part_bytes))
    _begin(folder)
    names = [SINGLE_FILE] if len(parts) == 1 else [
        f"model-{number:05d}-of-{len(parts):05d}.safetensors" for number in range(1, len(parts) + 1)
    ]  # fmt: skip
    for name, part in zip(names, parts, strict=True):
        write_safetensors(folder / name, {entry.name: entry.make().to(entry.dtype) for entry in part}, {"format": "pt"})
    if len(parts) > 1:
        listed = {entry.name: name for name, part in zip(names, parts, strict=True) for entry in part}
        total = sum(entry.size for part in parts for entry in part)
        write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": listed})
    image_token = len(model.llm_tokenizer)
    ids = {"bos_token_id": 2, "eos_token_id": 2, "pad_token_id": model.llm_tokenizer.pad_token_id}
    # A placeholder must never be written; its row in the head is zero, which is little protection.
    write_json(folder / "generation_config.json", {**ids, "suppress_tokens": [image_token]})
    _write_llm_tokenizer(folder, model)
    _write_q_former_tokenizer(folder / Q_FORMER_TOKENIZER_FOLDER, model)
    _write_image_processor(folder, model)
    write_text(folder / "README.md", _card())
    write_json(folder / CONFIG_FILE, configuration(model))
    (folder / UNFINISHED_FILE).unlink()
    return folder


def check_base(model: Any) -> None:
    """Refuse a base that has no form in this layout; LoRA that is to be merged is none of its parameters.

    Raises:
        SamConfigurationError: The base is quantised, or adapted by other libraries, so it has other parameters; or its
            language model is no Llama with a sentencepiece tokenizer.
    """
    if not isinstance(model.llm_tokenizer, LlamaSentencePieceTokenizer):
        raise SamConfigurationError(
            f"the language model, a {type(model.llm_model).__name__}, has a {type(model.llm_tokenizer).__name__}; an "
            "InstructBLIP folder is written with Llama's sentencepiece tokenizer alone. Export an adapter instead."
        )
    _entries(model)


def is_export(folder: str | Path) -> bool:
    """Return whether a folder is as `save_instructblip` left it, whole or unfinished."""
    if (Path(folder) / UNFINISHED_FILE).is_file():
        return True
    try:
        config = read_config(Path(folder) / CONFIG_FILE, "")
    except SamCheckpointError:
        return False
    # transformers keeps our key where it saves what it loaded from here, and adds its version: someone's own model.
    return OUR_KEY in config and "transformers_version" not in config


def _begin(folder: Path) -> None:
    """Make a folder an unfinished one, without the weights of an earlier export."""
    write_text(
        folder / UNFINISHED_FILE, "This export was interrupted. Repeat it with --overwrite, or remove this folder.\n"
    )
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    for path in list(folder.iterdir()):
        if path.name == INDEX_FILE or _WEIGHTS.fullmatch(path.name):
            path.unlink()


def _entries(model: Any) -> dict[str, Entry]:
    """Return what to write, by transformers' names."""
    held = dict(held_parameters(model))
    state = {name: held[name] if tensor.is_meta else tensor for name, tensor in model.state_dict().items()}
    entries: dict[str, Entry] = {}
    for name, tensor in state.items():
        if name.startswith(sam_modules()) or name.endswith(".v_bias"):
            continue
        if name.endswith(".q_bias"):
            prefix = to_transformers(name).removesuffix(".self_attn.q_bias")
            query, value = tensor, state[name.removesuffix("q_bias") + "v_bias"]
            entries[prefix + QKV_BIAS] = Entry(
                prefix + QKV_BIAS, (3 * len(query),), query.dtype, _join(query, torch.zeros_like(query), value)
            )
        else:
            theirs, shape, make = to_transformers(name), tuple(tensor.shape), _itself(tensor)
            if name in PAD_TABLES:  # and one more row, the placeholder
                shape, make = (shape[0] + 1, shape[1]), _join(tensor, tensor.new_zeros(1, shape[1]))
            entries[theirs] = Entry(theirs, shape, tensor.dtype, make)
    strange = [name for name, entry in entries.items() if not entry.dtype.is_floating_point or name in state]
    strange = [name for name in strange if name != "query_tokens"]
    if strange:
        raise SamConfigurationError(
            f"{strange[0]} (and {len(strange) - 1} more) is no parameter of a plain InstructBLIP; build the model "
            "without quantisation and adapters of other libraries, and export that."
        )
    return entries


def _itself(tensor: Tensor) -> Callable[[], Tensor]:
    return lambda: tensor


def _join(*tensors: Tensor) -> Callable[[], Tensor]:
    return lambda: torch.cat(tensors)


def _in_parts(entries: Iterable[Entry], part_bytes: int) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    for entry in entries:
        if part and sum(other.size for other in part) + entry.size > part_bytes:
            yield part
            part = []
        part.append(entry)
    yield part


def configuration(model: Any) -> dict[str, Any]:
    """Return config.json of a model's base."""
    vision, bert, llm = model.visual_encoder, model.Qformer.bert, model.llm_model.config.to_dict()
    patch = vision.patch_embed.proj.kernel_size[0]
    block, layer = vision.blocks[0], bert.encoder.layer[0]
    with_cross = [number for number, one in enumerate(bert.encoder.layer) if one.has_cross_attention]
    frequency = with_cross[1] if len(with_cross) > 1 else len(bert.encoder.layer)
    text = {key: llm[key] for key in _TEXT_KEYS if llm.get(key) is not None}
    ids = {"bos_token_id": 2, "eos_token_id": 2, "pad_token_id": model.llm_tokenizer.pad_token_id}
    return {
        "architectures": ["InstructBlipForConditionalGeneration"],
        "model_type": "instructblip",
        "num_query_tokens": model.query_tokens.shape[1],
        "image_token_index": len(model.llm_tokenizer),
        "tie_word_embeddings": False,
        "vision_config": {
            "model_type": "instructblip_vision_model",
            "hidden_size": vision.num_features,
            "intermediate_size": block.mlp.fc1.out_features,
            "num_hidden_layers": len(vision.blocks),
            "num_attention_heads": block.attn.heads,
            "image_size": vision.image_size,
            "patch_size": patch,
            "hidden_act": "gelu",
            "layer_norm_eps": block.norm1.eps,
            "qkv_bias": True,
        },
        "qformer_config": {
            "model_type": "instructblip_qformer",
            "vocab_size": bert.embeddings.word_embeddings.num_embeddings,
            "hidden_size": model.query_tokens.shape[2],
            "num_hidden_layers": len(bert.encoder.layer),
            "num_attention_heads": layer.attention.self.heads,
            "intermediate_size": layer.intermediate.dense.out_features,
            "max_position_embeddings": bert.embeddings.position_embeddings.num_embeddings,
            "hidden_act": "gelu",
            "layer_norm_eps": bert.embeddings.LayerNorm.eps,
            "cross_attention_frequency": frequency,
            "encoder_hidden_size": vision.num_features,
        },
        "text_config": {**text, **ids, "model_type": "llama", "vocab_size": len(model.llm_tokenizer) + 1},
        # transformers has one epsilon for the whole vision encoder, InstructBLIP another in its last norm.
        OUR_KEY: {"ln_vision_eps": model.ln_vision.eps},
    }


_TEXT_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "attention_bias",
    "mlp_bias",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
)


def _write_llm_tokenizer(folder: Path, model: Any) -> None:
    """Write tokenizer.model, and the special tokens that InstructBLIP gives it."""
    pad = model.llm_tokenizer.pad_token_id
    plain = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    added = {str(pad): "[PAD]", str(pad + 1): IMAGE_TOKEN}
    write_bytes(folder / LLM_TOKENIZER_FILE, model.llm_tokenizer.serialized())
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "bos_token": "</s>",
            "eos_token": "</s>",
            "unk_token": "</s>",
            "pad_token": "[PAD]",
            "add_bos_token": True,
            "add_eos_token": False,
            "legacy": True,
            "clean_up_tokenization_spaces": False,
            "truncation_side": "left",
            "added_tokens_decoder": {number: {"content": text, **plain} for number, text in added.items()},
        },
    )


def _write_q_former_tokenizer(folder: Path, model: Any) -> None:
    """Write vocab.txt, which all versions of ours read, and tokenizer.json, which transformers looks for."""
    words = sorted(model.tokenizer.get_vocab().items(), key=lambda item: item[1])
    write_text(folder / "vocab.txt", "".join(f"{word}\n" for word, _ in words[:-1]))  # the last one is [DEC]
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True, truncation_side="left")
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.save_pretrained(folder)


def _write_image_processor(folder: Path, model: Any) -> None:
    size = model.visual_encoder.image_size
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "BlipImageProcessor",
            "processor_class": "InstructBlipProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"height": size, "width": size},
            "resample": BICUBIC,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(IMAGE_MEAN),
            "image_std": list(IMAGE_STD),
        },
    )
    queries = model.query_tokens.shape[1]
    write_json(
        folder / "processor_config.json", {"processor_class": "InstructBlipProcessor", "num_query_tokens": queries}
    )


def _card() -> str:
    return """---
library_name: transformers
pipeline_tag: image-text-to-text
---
# InstructBLIP, written by lavis_sam

The frozen base of a SAM model and its projection, in transformers' layout:
`InstructBlipForConditionalGeneration.from_pretrained` loads it, and so does lavis_sam (`model.pretrained`). SAM's own
layers are not in it; `lavis-sam export --format adapter` writes those.

The licences of Vicuna and Llama cover these weights.
"""
