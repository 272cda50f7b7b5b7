"""The language side's inputs: the authors' cases, and batches that vary."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from lavis_sam.models.language.tokenizers import LlamaSentencePieceTokenizer
from lavis_sam.weights.tokenizers import load_tokenizer

FIXTURES = Path(__file__).resolve().parents[1] / "parity" / "fixtures"


@dataclass
class ReleasedCase:
    """A parity case as the language side sees it."""

    meta: dict[str, Any]
    arrays: dict[str, torch.Tensor]
    llm_model: LlamaForCausalLM

    @property
    def visual_tokens(self) -> torch.Tensor:
        return self.arrays["out.visual_tokens"]

    @property
    def visual_mask(self) -> torch.Tensor:
        return torch.ones(self.visual_tokens.shape[:2], dtype=torch.bool)

    @property
    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.visual_tokens, self.visual_mask


def released_case(name: str) -> ReleasedCase:
    meta = json.loads((FIXTURES / f"case_{name}.json").read_text())
    sizes = meta["config"]["llm"]
    config = LlamaConfig(
        vocab_size=sizes["vocab_size"] + 1,
        hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"],
        num_hidden_layers=sizes["num_layers"],
        num_attention_heads=sizes["num_heads"],
        max_position_embeddings=sizes["max_position_embeddings"],
        pad_token_id=0,
    )
    llm_model = LlamaForCausalLM(config).eval().requires_grad_(False)
    weights = load_file(FIXTURES / f"case_{name}_weights.safetensors")
    prefix = "llm_model."
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    llm_model.load_state_dict({key: value for key, value in own.items() if "inv_freq" not in key})
    return ReleasedCase(meta, load_file(FIXTURES / f"case_{name}_io.safetensors"), llm_model)


def released_tokenizer() -> LlamaSentencePieceTokenizer:
    return load_tokenizer(FIXTURES / "tok")


def padded_alike(*rows: torch.Tensor, value: int = 2) -> list[torch.Tensor]:
    """Sequences [R, T], T made equal with the end token."""
    width = max(row.shape[1] for row in rows)
    return [torch.nn.functional.pad(row, (0, width - row.shape[1]), value=value) for row in rows]
