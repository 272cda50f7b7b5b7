"""transformers' InstructBLIP folder: the whole base in one place (`Salesforce/instructblip-vicuna-7b` is one).

    config.json                        sizes
    model.safetensors, or parts        vision encoder, Q-Former, projection and language model
    tokenizer.model                    the language model's tokenizer
    qformer_tokenizer/vocab.txt        the Q-Former's (transformers 5 writes tokenizer.json in place of both)

The weights are InstructBLIP's own, under other names. Writing such a folder is `instructblip_export`'s job.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from lavis_sam.errors import SamCheckpointError
from lavis_sam.models.language.language_model import draw_pad_rows, empty_language_model
from lavis_sam.models.sizes import ModelSizes, QFormerSizes, VisionSizes
from lavis_sam.weights.checkpoint_files import read_config
from lavis_sam.weights.checkpoints import PAD_TABLES, LoadReport, load_checked, matches
from lavis_sam.weights.language_models import (
    CONFIG_FILE,
    MAX_LAYERS,
    MAX_ROWS,
    language_config,
    language_sizes,
    read_fraction,
    read_number,
)
from lavis_sam.weights.streaming import StreamedTensors, TensorInFile, open_folder
from lavis_sam.weights.tokenizers import find_bert_vocabulary, find_llm_tokenizer

LLM_TOKENIZER_FILE = "tokenizer.model"
Q_FORMER_TOKENIZER_FOLDER = "qformer_tokenizer"
OUR_KEY = "lavis_sam"
"""Entry of config.json where an exported folder keeps what transformers' own keys cannot say."""

# Our names and transformers', both as prefixes; `*` is a layer's number. The first that fits counts.
NAMES = (
    ("visual_encoder.cls_token", "vision_model.embeddings.class_embedding"),
    ("visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"),
    ("visual_encoder.patch_embed.proj.", "vision_model.embeddings.patch_embedding."),
    ("visual_encoder.blocks.*.norm1.", "vision_model.encoder.layers.*.layer_norm1."),
    ("visual_encoder.blocks.*.norm2.", "vision_model.encoder.layers.*.layer_norm2."),
    ("visual_encoder.blocks.*.attn.proj.", "vision_model.encoder.layers.*.self_attn.projection."),
    ("visual_encoder.blocks.*.attn.", "vision_model.encoder.layers.*.self_attn."),
    ("visual_encoder.blocks.*.", "vision_model.encoder.layers.*."),
    ("ln_vision.", "vision_model.post_layernorm."),
    ("Qformer.bert.embeddings.LayerNorm.", "qformer.embeddings.layernorm."),
    ("Qformer.bert.encoder.layer.*.attention.self.", "qformer.encoder.layer.*.attention.attention."),
    ("Qformer.bert.encoder.layer.*.crossattention.self.", "qformer.encoder.layer.*.crossattention.attention."),
    ("Qformer.bert.", "qformer."),
    ("llm_proj.", "language_projection."),
    ("llm_model.", "language_model."),
)
QKV_BIAS = ".self_attn.qkv.bias"
VISUAL_PARTS = ("visual_encoder", "ln_vision", "Qformer", "query_tokens")
LANGUAGE_PARTS = ("llm_proj", "llm_model")


def to_transformers(name: str) -> str:
    """Return transformers' name of a parameter of ours (of the biases of query and value, see `QKV_BIAS`)."""
    return _rename(name, source=0)


def from_transformers(name: str) -> str:
    """Return the inverse of `to_transformers`; a name that transformers does not have stays as it is."""
    return _rename(name, source=1)


def _rename(name: str, *, source: int) -> str:
    for pair in NAMES:
        pattern = re.escape(pair[source]).replace(r"\*", r"(\d+)")
        if found := re.match(pattern, name):
            number = found[1] if found.groups() else ""
            return pair[1 - source].replace("*", number) + name[found.end() :]
    return name


@dataclass(frozen=True)
class InstructBlipFolder:
    """A folder whose config.json has been read and understood.

    Attributes:
        path: The folder.
        config: config.json.
        vision: Sizes of the ViT.
        q_former: Sizes of the Q-Former.
        llm_config: The language model's configuration, as transformers reads it.
    """

    path: Path
    config: Mapping[str, Any]
    vision: VisionSizes
    q_former: QFormerSizes
    llm_config: PretrainedConfig

    @classmethod
    def read(cls, folder: str | Path) -> "InstructBlipFolder":
        """Read config.json; keys that it leaves out have InstructBLIP-Vicuna-7B's values, as in transformers.

        Raises:
            SamCheckpointError: It is missing or damaged, of another architecture, or its sizes are impossible.
        """
        path = Path(folder)
        config = read_config(path / CONFIG_FILE, "Give an InstructBLIP folder as transformers writes it.")
        vision, q_former, text = (_section(config, path, f"{name}_config") for name in ("vision", "qformer", "text"))
        _require(path, "model_type", config.get("model_type"), "instructblip")
        _require(path, "text_config.model_type", text.get("model_type"), "llama")
        _require(path, "vision_config.hidden_act", vision.get("hidden_act", "gelu"), "gelu")
        _require(path, "vision_config.qkv_bias", vision.get("qkv_bias", True), True)
        _require(path, "qformer_config.hidden_act", q_former.get("hidden_act", "gelu"), "gelu")
        _norm_epsilons(path, config)
        width = read_number(path, vision, "hidden_size", 1408)
        intermediate = read_number(path, vision, "intermediate_size", 6144)
        return cls(
            path,
            config,
            VisionSizes(
                image_size=read_number(path, vision, "image_size", 224),
                patch_size=read_number(path, vision, "patch_size", 14),
                width=width,
                depth=read_number(path, vision, "num_hidden_layers", 39, most=MAX_LAYERS),
                heads=read_number(path, vision, "num_attention_heads", 16),
                mlp_ratio=(intermediate + 0.5) / width,  # rounded down to `intermediate` again
            ),
            QFormerSizes(
                width=read_number(path, q_former, "hidden_size", 768),
                layers=read_number(path, q_former, "num_hidden_layers", 12, most=MAX_LAYERS),
                heads=read_number(path, q_former, "num_attention_heads", 12),
                intermediate=read_number(path, q_former, "intermediate_size", 3072),
                vocabulary=read_number(path, q_former, "vocab_size", 30522, most=MAX_ROWS),
                max_positions=read_number(path, q_former, "max_position_embeddings", 512),
                cross_attention_frequency=read_number(path, q_former, "cross_attention_frequency", 2),
                queries=read_number(path, config, "num_query_tokens", 32),
            ),
            language_config(path, text, tie_word_embeddings=False),
        )

    @cached_property
    def entries(self) -> dict[str, TensorInFile]:
        """Where each tensor is, by transformers' names.

        Raises:
            SamCheckpointError: A file is missing or damaged.
        """
        return open_folder(self.path)

    @property
    def llm_tokenizer(self) -> Path | None:
        """The language model's tokenizer, when the folder holds it."""
        return find_llm_tokenizer(self.path)

    @property
    def q_former_tokenizer(self) -> Path | None:
        """The Q-Former's vocabulary, when the folder holds it."""
        folder = self.path / Q_FORMER_TOKENIZER_FOLDER
        return find_bert_vocabulary(folder) if folder.is_dir() else None

    def sizes(self, llm_vocabulary: int) -> ModelSizes:
        """Return the sizes of the model that the folder holds.

        Args:
            llm_vocabulary: Pieces of the language model's tokenizer and [PAD]. The folder's own number may be larger:
                transformers appends `<image>` and fills up to a round number.
        """
        language = replace(language_sizes(self.llm_config), vocabulary=llm_vocabulary)
        return ModelSizes(self.vision, self.q_former, language)

    def check_sizes(self, sizes: ModelSizes, *, with_language: bool = True) -> None:
        """Refuse a folder that is not the model a config describes; `with_language`, its language model included.

        Raises:
            SamCheckpointError: Sizes differ; all are listed.
        """
        found, problems = self.sizes(sizes.language.vocabulary), []
        for section in ("vision", "q_former", "language")[: 3 if with_language else 2]:
            for key, wanted in vars(getattr(sizes, section)).items():
                value = getattr(getattr(found, section), key)
                if key == "mlp_ratio":
                    value, wanted = (int(part.width * part.mlp_ratio) for part in (found.vision, sizes.vision))
                if value != wanted:
                    problems.append(f"{section}.{key} is {value}, the config's model.sizes say {wanted}")
        if problems:
            raise SamCheckpointError(
                f"{self.path / CONFIG_FILE}: this InstructBLIP is not the one that the config describes: "
                f"{'; '.join(problems)}. Choose the model_type that belongs to this folder, or another folder."
            )

    def build_language(self, vocabulary: int, dtype: torch.dtype) -> PreTrainedModel:
        """Return the language model on the meta device; `load_base` gives it its weights.

        Args:
            vocabulary: Rows of its embedding and head.
            dtype: The type that its weights will have.
        """
        config = type(self.llm_config).from_dict(self.llm_config.to_dict() | {"vocab_size": vocabulary})
        return empty_language_model(config, dtype)


def load_base(
    model: nn.Module, folder: InstructBlipFolder, *, with_language: bool = True, check_only: bool = False
) -> LoadReport:
    """Load everything but SAM's layers from a folder, one tensor at a time.

    Args:
        model: A model of the folder's sizes; what is on the meta device is given its tensors.
        with_language: Load the language model, and the projection to it.
        check_only: Say what does not fit, and fill nothing.

    Returns:
        What was filled.

    Raises:
        SamCheckpointError: A file is damaged, or its tensors do not fit.
    """
    source = f"{folder.path} (InstructBLIP in transformers' layout)"
    entries: Mapping[str, TensorInFile | torch.Tensor] = in_our_names(folder.entries)
    if with_language:
        entries = _with_pad_rows(entries, model.get_parameter(PAD_TABLES[0]).shape[0], folder)
    else:
        entries = {name: entry for name, entry in entries.items() if not matches(name, LANGUAGE_PARTS)}
    report = load_checked(
        model,
        StreamedTensors(entries),
        provides=(*VISUAL_PARTS, *(LANGUAGE_PARTS if with_language else ())),
        source=source,
        check_only=check_only,
    )
    if not check_only:
        _adopt_norms(model, folder)
    return report


def in_our_names(entries: Mapping[str, TensorInFile]) -> dict[str, TensorInFile]:
    """Return a folder's tensors (`InstructBlipFolder.entries`) by our names.

    Their ViT has one bias for query, key and value, ours none for the key: a constant added to all scores of a query
    leaves its softmax as it is, so nothing is lost.
    """
    ours: dict[str, TensorInFile] = {}
    for name, entry in entries.items():
        if name.endswith(QKV_BIAS) and len(entry.shape) == 1 and entry.shape[0] % 3 == 0:
            width, prefix = entry.shape[0] // 3, from_transformers(name.removesuffix("qkv.bias"))
            ours[f"{prefix}q_bias"] = entry.rows(0, width)
            ours[f"{prefix}v_bias"] = entry.rows(2 * width, width)
        else:
            ours[from_transformers(name)] = entry
    return ours


def _with_pad_rows(
    entries: Mapping[str, TensorInFile | torch.Tensor], rows: int, folder: InstructBlipFolder
) -> dict[str, TensorInFile | torch.Tensor]:
    """Give embedding and head exactly `rows` rows: what stands behind [PAD] is left out, an absent [PAD] is drawn."""
    result: dict[str, TensorInFile | torch.Tensor] = dict(entries)
    width, std = folder.llm_config.hidden_size, folder.llm_config.initializer_range
    for name, pad_row in zip(PAD_TABLES, draw_pad_rows(width, std=std), strict=True):
        entry = entries.get(name)
        if not isinstance(entry, TensorInFile) or len(entry.shape) != 2:
            continue  # which `load_checked` reports
        if entry.shape[0] > rows:
            result[name] = entry.rows(0, rows)
        elif entry.shape[0] == rows - 1 and entry.shape[1] == width:
            table = entry.read()
            result[name] = torch.cat((table, pad_row.to(table)[None]))
    return result


def _adopt_norms(model: Any, folder: InstructBlipFolder) -> None:
    """Take over the epsilons of the folder's layer norms.

    transformers has one for the whole vision encoder, 1e-6; LAVIS's InstructBLIP has 1e-5 in `ln_vision`. Each source
    means its own: with the real weights nobody sees the difference, with small random ones it is the third digit.
    """
    blocks, ln_vision, q_former = _norm_epsilons(folder.path, folder.config)
    for part, eps in ((model.visual_encoder, blocks), (model.ln_vision, ln_vision), (model.Qformer, q_former)):
        for module in part.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = eps


def _norm_epsilons(folder: Path, config: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the epsilons of the ViT's blocks, of `ln_vision` and of the Q-Former."""
    vision, q_former, own = (_section(config, folder, name) for name in ("vision_config", "qformer_config", OUR_KEY))
    blocks = read_fraction(folder, vision, "layer_norm_eps", 1e-6)
    ln_vision = read_fraction(folder, own, "ln_vision_eps", blocks)
    return blocks, ln_vision, read_fraction(folder, q_former, "layer_norm_eps", 1e-12)


def _section(config: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    section = config.get(name) or {}
    if not isinstance(section, dict):
        raise SamCheckpointError(f"{folder / CONFIG_FILE}: {name} is {section!r:.200}, a dictionary is wanted.")
    return section


def _require(folder: Path, key: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise SamCheckpointError(
            f"{folder / CONFIG_FILE}: {key} is {found!r:.200}, {wanted!r} is wanted: SAM stands on InstructBLIP with "
            "Vicuna (Salesforce/instructblip-vicuna-7b or -13b in transformers' layout)."
        )
