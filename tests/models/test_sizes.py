"""The real sizes, on the meta device: nothing is allocated, everything can be counted."""

import torch

from helpers.models import small_model
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.language.language_model import build_language_model
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.weights.build_model import build_visual_modules


def real_model(**guidance):
    sizes, donor = ModelSizes(), small_model()
    with torch.device("meta"):
        return SemanticAlignment(
            **build_visual_modules(sizes),
            llm_model=build_language_model(sizes.language),
            tokenizer=donor.tokenizer,
            llm_tokenizer=donor.llm_tokenizer,
            guidance=Guidance(**guidance),
        )


def trainable(model):
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}


def test_the_papers_trainable_parameters():
    model = real_model()
    assert trainable(model) == {
        "adaptive_adjustment.linear_a.weight": 1408,
        "adaptive_adjustment.linear_a.bias": 1,
        "w_former.linear_h.weight": 768 * 768,
        "w_former.linear_h.bias": 768,
        "w_former.linear_c.weight": 768 * 768,
        "w_former.linear_c.bias": 768,
        "llm_proj.weight": 768 * 4096,
        "llm_proj.bias": 4096,
    }
    assert sum(trainable(model).values()) == 4_332_417
    assert all(p.dtype is torch.float32 for p in model.parameters() if p.requires_grad)


def test_the_frozen_parts_have_instructblips_sizes():
    model = real_model()
    parts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in (("vision", model.visual_encoder), ("q_former", model.Qformer), ("language", model.llm_model))
    }
    # EVA ViT-g without its 40th block; Vicuna-7B and one more row in embedding and head.
    assert parts["vision"] == 985_894_528
    assert parts["language"] == 6_738_415_616 + 2 * 4096
    # BERT-base with [DEC], six cross-attentions to 1408 channels and a second feed-forward in each layer.
    embeddings = 30523 * 768 + 512 * 768 + 2 * 768
    attention = 4 * (768 * 768 + 768) + 2 * 768
    feed_forward = 768 * 3072 + 3072 + 3072 * 768 + 768 + 2 * 768
    cross_attention = 2 * (768 * 768 + 768) + 2 * (1408 * 768 + 768) + 2 * 768
    assert parts["q_former"] == embeddings + 12 * (attention + 2 * feed_forward) + 6 * cross_attention


def test_other_readings_train_other_layers():
    assert sum(trainable(real_model(context="self")).values()) == 4_332_417 - 1_409
    assert sum(trainable(real_model(extractor="linear", weighting="average")).values()) == 3_149_824 + 1408 * 768 + 768
    assert sum(trainable(real_model(extractor="none")).values()) == 3_149_824
