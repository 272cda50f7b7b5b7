"""The InstructBLIP baseline on several images is the base row of the paper: SAM's own model without its guidance."""

from types import SimpleNamespace

import torch

from helpers.instructblip import folder_config, transformers_model, write_folder
from helpers.models import SIZES
from lavis_sam.baselines.q_former import QFormerModel
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.weights.build_model import build_model

# Two implementations of the same formulas in float32.
TOLERANCE = 1e-5
INSTRUCTION = "what do all images show?"


def test_the_visual_tokens_are_those_of_sam_without_guidance(tmp_path):
    theirs = transformers_model()
    config = folder_config(write_folder(theirs, tmp_path / "instructblip"), guidance={"extractor": "none"})
    ours = build_model(config)
    ours.eval()
    side = SIZES.vision.image_size
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    # The two have processors of their own for the same images; here both get the same tensors.
    processor = SimpleNamespace(
        image_processor=lambda tensors, return_tensors: {"pixel_values": torch.stack(tensors)},
        qformer_tokenizer=ours.tokenizer,
        tokenizer=None,
    )
    question = EvaluationSample(MultiImageSample("a", ("x",) * 3, INSTRUCTION, "o", ("o",), "here"), tuple(images))
    with torch.no_grad():
        wanted = ours.encode({"image": images.transpose(0, 1)[None]}, [INSTRUCTION]).tokens[0]
        (found,) = QFormerModel(theirs, processor, name="x")._visual_tokens([question])
    assert found.shape == (3 * SIZES.q_former.queries, SIZES.language.width)
    torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)
