"""Small random language models whose weights are the same under every version of transformers (torch draws them)."""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM


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


def byte_level_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """A small byte-level BPE as Llama 3 and Qwen2 have it; a `bos_token` begins every sequence."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=sorted(set(special.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator([f"{text} what do both images show, a red chair or the dog" for text in "abc"], trainer)
    if bos := special.get("bos_token"):
        post = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, backend.token_to_id(bos))]
        )
        backend.post_processor = post
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def llama3_like(seed: int = 0) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A Llama with grouped key-value heads and the rotary scaling of 3.1, and a tokenizer that has no padding token."""
    tokenizer = byte_level_tokenizer(bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>")
    config = LlamaConfig(
        **_sizes(tokenizer),
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128,
        },
    )
    return _randomised(LlamaForCausalLM(config), seed), tokenizer


def qwen2_like(seed: int = 0) -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast]:
    """A Qwen2 with grouped key-value heads, one table for embedding and head, spare rows, and no start token."""
    tokenizer = byte_level_tokenizer(eos_token="<|im_end|>", pad_token="<|endoftext|>")
    sizes = _sizes(tokenizer)
    config = Qwen2Config(**sizes | {"vocab_size": sizes["vocab_size"] + 6}, tie_word_embeddings=True)
    return _randomised(Qwen2ForCausalLM(config), seed), tokenizer


def _sizes(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 40,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _randomised(llm_model: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(llm_model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3 + (parameter.ndim == 1))
    return llm_model.eval().requires_grad_(False)
