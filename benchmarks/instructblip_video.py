"""transformers' InstructBlipVideo at a model's sizes, with random weights: the other side of a benchmark.

The nearest relative of ours that a user could train instead: several images of a sample, each through ViT and
Q-Former by itself, their tokens in one row before the language model. Everything is frozen but the projection.
"""

from typing import Any

import torch
from transformers import (
    InstructBlipVideoConfig,
    InstructBlipVideoForConditionalGeneration,
    InstructBlipVideoQFormerConfig,
    InstructBlipVideoVisionConfig,
    LlamaConfig,
)

from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import ModelSizes

_IGNORED = -100


def build(sizes: ModelSizes, *, dtype: torch.dtype, device: str, gradient_checkpointing: bool) -> Any:
    """The model in training mode, with trainable `language_projection` (in float32, as ours)."""
    vision, q_former, language = sizes.vision, sizes.q_former, sizes.language
    config = InstructBlipVideoConfig(
        vision_config=InstructBlipVideoVisionConfig(
            hidden_size=vision.width,
            intermediate_size=int(vision.width * vision.mlp_ratio),
            num_hidden_layers=vision.depth,
            num_attention_heads=vision.heads,
            image_size=vision.image_size,
            patch_size=vision.patch_size,
        ).to_dict(),
        qformer_config=InstructBlipVideoQFormerConfig(
            vocab_size=q_former.vocabulary,
            hidden_size=q_former.width,
            num_hidden_layers=q_former.layers,
            num_attention_heads=q_former.heads,
            intermediate_size=q_former.intermediate,
            max_position_embeddings=q_former.max_positions,
            cross_attention_frequency=q_former.cross_attention_frequency,
            encoder_hidden_size=vision.width,
        ).to_dict(),
        text_config=LlamaConfig(
            vocab_size=language.vocabulary + 1,  # and the place of an image's token
            hidden_size=language.width,
            intermediate_size=language.intermediate,
            num_hidden_layers=language.layers,
            num_attention_heads=language.heads,
            num_key_value_heads=language.heads,
            max_position_embeddings=language.max_positions,
        ).to_dict(),
        num_query_tokens=q_former.queries,
        video_token_index=language.vocabulary,
    )
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = InstructBlipVideoForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(default)
    model = model.to(dtype).requires_grad_(False)
    model.language_projection.requires_grad_(True)
    if gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    return model.train()


def inputs(model: Any, tokenizers: SemanticAlignment, samples: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The same samples in its form.

    Args:
        model: Of `build`.
        tokenizers: A model of ours, for its two tokenizers.
        samples: `image` [B, 3, N, H, W], `text_input`, `text_output`; all texts of a kind equally long.
    """
    images = samples["image"].transpose(1, 2)
    places = [model.config.video_token_id] * (model.config.num_query_tokens * images.shape[1])
    encode = tokenizers.llm_tokenizer.encode
    rows, labels = [], []
    for text, answer in zip(samples["text_input"], samples["text_output"], strict=True):
        question, target = [*places, *encode(text)], encode(answer)[1:]
        rows.append([*question, *target])
        labels.append([_IGNORED] * len(question) + target)
    text = tokenizers.tokenizer(samples["text_input"], padding="longest", return_tensors="pt")
    ids = torch.tensor(rows)
    given = {
        "qformer_input_ids": text.input_ids,
        "qformer_attention_mask": text.attention_mask,
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.tensor(labels),
    }
    dtype = next(model.vision_model.parameters()).dtype
    return {name: value.to(images.device) for name, value in given.items()} | {"pixel_values": images.to(dtype)}


def loss(model: Any, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean over the target tokens."""
    return model(**given, use_cache=False).loss
