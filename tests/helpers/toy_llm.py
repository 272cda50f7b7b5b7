"""A small random Llama whose weights are the same under every version of transformers (torch alone draws them)."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def toy_llm(seed: int = 0, *, vocabulary: int = 197, spread: float = 0.3, ending: float = 1.0) -> LlamaForCausalLM:
    """A frozen Llama with D_llm = 40, float32; `ending` scales the logit of the end token."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=40,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    llm_model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(llm_model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread + (parameter.ndim == 1))
        llm_model.lm_head.weight[config.eos_token_id] *= ending
    return llm_model.eval().requires_grad_(False)


def toy_visual_tokens(seed: int, batch: int, visual: int) -> torch.Tensor:
    """Random visual tokens [B, V, D_llm]."""
    return torch.randn(batch, visual, 40, generator=torch.Generator().manual_seed(1000 + seed))
