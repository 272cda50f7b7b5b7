"""Weight files in the layout of the released ones, written from a small model."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.weights.packaged import MODEL_CONFIGS, PACKAGE

TOKENIZERS = PACKAGE / "assets" / "tiny" / "tokenizers"


def write_release(folder: Path, model: SemanticAlignment) -> dict[str, str]:
    """Write EVA's, InstructBLIP's and Vicuna's files with the model's frozen weights; the paths, by config key.

    Like the real ones, EVA's file has one block too many and a classifier, and Vicuna has no [PAD] row.
    """
    state = model.state_dict()
    eva = {name.removeprefix("visual_encoder."): t for name, t in state.items() if name.startswith("visual_encoder.")}
    depth = len(model.visual_encoder.blocks)
    surplus = {n.replace("blocks.0.", f"blocks.{depth}."): t for n, t in eva.items() if n.startswith("blocks.0.")}
    torch.save({**eva, **surplus, "norm.weight": torch.ones(2), "head.weight": torch.ones(2)}, folder / "eva.pth")
    kept = ("Qformer.", "query_tokens", "ln_vision.", "llm_proj.")
    trimmed = {name: tensor for name, tensor in state.items() if name.startswith(kept)}
    trimmed["Qformer.bert.embeddings.position_ids"] = torch.arange(8)[None]
    torch.save({"model": trimmed}, folder / "instructblip.pth")

    vicuna = folder / "vicuna"
    llm_model = type(model.llm_model)(model.llm_model.config)
    llm_model.load_state_dict(model.llm_model.state_dict())
    llm_model.resize_token_embeddings(llm_model.config.vocab_size - 1)
    llm_model.save_pretrained(vicuna)
    shutil.copy(TOKENIZERS / "tokenizer.model", vicuna)
    return {
        "pretrained": str(folder / "instructblip.pth"),
        "vit_checkpoint": str(folder / "eva.pth"),
        "llm_model": str(vicuna),
        "bert_tokenizer": str(TOKENIZERS / "vocab.txt"),
    }


def config_for(model: SemanticAlignment, sizes: ModelSizes, files: dict[str, str], **changes: Any) -> DictConfig:
    """The packaged vicuna7b config, at a small model's sizes and with these files; `changes` are further keys."""
    values = asdict(sizes)
    values["q_former"]["vocabulary"] = len(model.tokenizer)
    values["language"]["vocabulary"] = len(model.llm_tokenizer)
    layers = {"layer_l": sizes.q_former.layers, "layer_k": sizes.q_former.layers}
    packaged = OmegaConf.load(MODEL_CONFIGS["vicuna7b"]).model
    return OmegaConf.merge(packaged, {"sizes": values, "guidance": layers, "precision": "fp32", **files}, changes)
