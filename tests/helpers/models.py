"""Small random models and batches for the tests of the model."""

from dataclasses import replace
from typing import Any

import torch

from lavis_sam.models.guidance import Guidance
from lavis_sam.models.language.language_model import build_language_model
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import LanguageSizes, ModelSizes, QFormerSizes, VisionSizes
from lavis_sam.weights.build_model import build_visual_modules
from lavis_sam.weights.packaged import TINY_TOKENIZERS
from lavis_sam.weights.tokenizers import load_q_former_tokenizer, load_tokenizer

SIZES = ModelSizes(
    vision=VisionSizes(image_size=28, patch_size=14, width=24, depth=2, heads=2, mlp_ratio=2.0),
    q_former=QFormerSizes(width=16, layers=4, heads=2, intermediate=24, max_positions=64, queries=3),
    language=LanguageSizes(width=20, layers=1, heads=2, intermediate=24, max_positions=512),
)
TEXTS = [
    "What do both images show?",
    "Describe the change {image#1}{image#2}Difference:",
    "a dog",
    "Please describe the element that is visible in both images, and say where it stands.",
]
ANSWERS = ["a red chair", "The cat has left the sofa.", "dog", "It is a girl in a blue dress who waves."]


def small_model(*, sizes: ModelSizes = SIZES, seed: int = 0, zero: bool = False, **guidance: Any) -> SemanticAlignment:
    """A model with every parameter random; SAM's layers too, unless `zero` leaves them as training finds them."""
    tokenizer = load_q_former_tokenizer(TINY_TOKENIZERS)
    llm_tokenizer = load_tokenizer(TINY_TOKENIZERS)
    sizes = replace(
        sizes,
        q_former=replace(sizes.q_former, vocabulary=len(tokenizer)),
        language=replace(sizes.language, vocabulary=len(llm_tokenizer)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SemanticAlignment(
            **build_visual_modules(sizes),
            llm_model=build_language_model(sizes.language),
            tokenizer=tokenizer,
            llm_tokenizer=llm_tokenizer,
            guidance=Guidance(**guidance),
        )
        frozen = [p for p in model.parameters() if not p.requires_grad]
        trained = [p for p in model.parameters() if p.requires_grad]
        torch.manual_seed(seed)  # again: how much was drawn so far depends on the layers that the guidance has
        for parameter in frozen + ([] if zero else trained):
            # Wide enough that a forgotten bias, norm or position would show.
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def random_batch(counts: list[int], *, seed: int = 1, size: int = 28, texts: list[str] | None = None) -> dict[str, Any]:
    """A ragged batch with `counts[b]` images in sample b; padded places hold loud noise that nothing may hear."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(len(counts), 3, max(counts), size, size, generator=generator)
    mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    images = torch.where(mask[:, None, :, None, None], images, images * 100)
    chosen = texts or [TEXTS[b % len(TEXTS)] for b in range(len(counts))]
    return {
        "image": images,
        "image_mask": mask,
        "text_input": chosen,
        "text_output": [ANSWERS[b % len(ANSWERS)] for b in range(len(counts))],
        "sample_id": list(range(len(counts))),
    }


def sample_of(batch: dict[str, Any], b: int) -> dict[str, Any]:
    """Sample `b` of a batch, alone and without padding."""
    count = int(batch["image_mask"][b].sum())
    return {
        "image": batch["image"][b : b + 1, :, :count],
        "image_mask": batch["image_mask"][b : b + 1, :count],
        "text_input": [batch["text_input"][b]],
        "text_output": [batch["text_output"][b]],
        "sample_id": [batch["sample_id"][b]],
    }
