"""A small random InstructBLIP of transformers', written as a folder, and what it makes of a batch."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from transformers import (
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
)

from helpers.models import SIZES
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.weights.packaged import MODEL_CONFIGS, PACKAGE
from lavis_sam.weights.tokenizers import load_q_former_tokenizer, load_tokenizer

TOKENIZERS = PACKAGE / "assets" / "tiny" / "tokenizers"


def transformers_model(*, sizes: ModelSizes = SIZES, extra_rows: int = 1, seed: int = 0, std: float = 0.3) -> Any:
    """transformers' own InstructBLIP at a small model's sizes, every parameter random.

    Args:
        extra_rows: rows of the vocabulary behind [PAD]; the first one is `<image>`.
    """
    vision, q_former, language = sizes.vision, sizes.q_former, sizes.language
    pieces = len(load_tokenizer(TOKENIZERS))
    config = InstructBlipConfig(
        vision_config=InstructBlipVisionConfig(
            hidden_size=vision.width,
            intermediate_size=int(vision.width * vision.mlp_ratio),
            num_hidden_layers=vision.depth,
            num_attention_heads=vision.heads,
            image_size=vision.image_size,
            patch_size=vision.patch_size,
        ).to_dict(),
        qformer_config=InstructBlipQFormerConfig(
            vocab_size=len(load_q_former_tokenizer(TOKENIZERS)),
            hidden_size=q_former.width,
            num_hidden_layers=q_former.layers,
            num_attention_heads=q_former.heads,
            intermediate_size=q_former.intermediate,
            max_position_embeddings=q_former.max_positions,
            cross_attention_frequency=q_former.cross_attention_frequency,
            encoder_hidden_size=vision.width,
        ).to_dict(),
        text_config=LlamaConfig(
            vocab_size=pieces + extra_rows,
            hidden_size=language.width,
            intermediate_size=language.intermediate,
            num_hidden_layers=language.layers,
            num_attention_heads=language.heads,
            num_key_value_heads=language.heads,
            max_position_embeddings=language.max_positions,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        ).to_dict(),
        num_query_tokens=q_former.queries,
        image_token_index=pieces,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = InstructBlipForConditionalGeneration(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=std)
    return model.eval().requires_grad_(False)


def write_folder(model: Any, folder: Path, *, shards: bool = True) -> Path:
    """Save it as `Salesforce/instructblip-vicuna-7b` is laid out: parts, index, both tokenizers."""
    model.save_pretrained(folder, max_shard_size="40KB" if shards else "1GB")
    (folder / "qformer_tokenizer").mkdir()
    shutil.copy(TOKENIZERS / "vocab.txt", folder / "qformer_tokenizer")
    shutil.copy(TOKENIZERS / "tokenizer.model", folder)
    return folder


def folder_config(folder: Path, sizes: ModelSizes = SIZES, **changes: Any) -> DictConfig:
    """The packaged vicuna7b config at a small model's sizes, with the folder as its whole base."""
    values = asdict(sizes)
    values["q_former"]["vocabulary"] = len(load_q_former_tokenizer(TOKENIZERS))
    values["language"]["vocabulary"] = len(load_tokenizer(TOKENIZERS))
    layers = {"layer_l": sizes.q_former.layers, "layer_k": sizes.q_former.layers}
    packaged = OmegaConf.load(MODEL_CONFIGS["vicuna7b"]).model
    fixed = {"sizes": values, "guidance": layers, "precision": "fp32", "pretrained": str(folder)}
    return OmegaConf.merge(packaged, fixed, changes)


def transformers_inputs(model: Any, tokenizers: Any, images: torch.Tensor, texts: list[str], answers: list[str]) -> Any:
    """What transformers' forward takes: a placeholder for each query, then `</s>` and text, padded on the right.

    Args:
        model: transformers' InstructBLIP.
        tokenizers: a model of ours, whose two tokenizers are used.
        images: [B, 3, H, W].
        texts: B instructions, which the Q-Former reads too.
        answers: B continuations that the language model reads after them; empty for none.
    """
    q_former = tokenizers.tokenizer(texts, padding="longest", return_tensors="pt")
    placeholders = [model.config.image_token_index] * model.config.num_query_tokens
    encode = tokenizers.llm_tokenizer.encode
    rows = [placeholders + encode(text) + encode(answer)[1:] for text, answer in zip(texts, answers, strict=True)]
    batch = tokenizers.llm_tokenizer.pad(rows)
    return {
        "pixel_values": images,
        "qformer_input_ids": q_former.input_ids,
        "qformer_attention_mask": q_former.attention_mask,
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
    }
