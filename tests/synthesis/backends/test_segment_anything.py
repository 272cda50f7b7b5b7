"""Segment Anything, both models, with tiny random weights in their real layouts."""

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import synthesis_models
from helpers.synthesis import planned
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.backends.segment_anything import SegmentAnything, SegmentAnything2, _grid, _ranks
from lavis_sam.synthesis.protocols import PromptedSegmenter, SegmentRequest
from lavis_sam.synthesis.stages.segment import SegmentStage

BOTH = {"segment_anything": SegmentAnything, "segment_anything_2": SegmentAnything2}
rng = np.random.default_rng(0)
TALL, WIDE = (rng.integers(0, 255, (*size, 3), dtype=np.uint8) for size in ((90, 60), (40, 70)))
BOX, POINTS = (5.0, 8.0, 40.0, 60.0), ((20.0, 30.0), (35.0, 50.0))


def segmenter(name, model_folder, **options):
    return BOTH[name](model_folder(name), device="cpu", **{"points_per_side": 3, **options})


@pytest.mark.parametrize("name", BOTH)
def test_segment_anything_gives_a_soft_mask_and_its_own_estimate_of_every_image(name, model_folder):
    made = segmenter(name, model_folder)
    assert isinstance(made, PromptedSegmenter)
    masks = made.segment([TALL, WIDE])
    assert [mask.alpha.shape for mask in masks] == [(90, 60), (40, 70)]
    for mask in masks:
        assert mask.alpha.dtype == np.float32
        assert 0 <= mask.alpha.min() < mask.alpha.max() <= 1
        assert isinstance(mask.predicted_iou, float)


@pytest.mark.parametrize("name", BOTH)
def test_segment_anything_depends_on_the_image_alone_whatever_the_rest_of_the_batch(name, model_folder):
    alone = segmenter(name, model_folder).segment([WIDE])[0]
    again = segmenter(name, model_folder).segment([TALL, WIDE])[1]
    assert (alone.alpha == again.alpha).all()
    together = segmenter(name, model_folder, batch_size=2, points_per_batch=4).segment([TALL, WIDE])[1]
    np.testing.assert_allclose(together.alpha, alone.alpha, atol=1e-4)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("prompt", [{"box": BOX}, {"points": POINTS}], ids=["box", "points"])
def test_segment_anything_answers_a_prompt_as_transformers_does(name, prompt, model_folder):
    """The same model through transformers' own processor and whole forward."""
    made = segmenter(name, model_folder)
    (found,) = made.segment_prompted([SegmentRequest(TALL, **prompt)])
    model, processor = made._parts
    asked = {"input_boxes": [[list(BOX)]]} if "box" in prompt else {"input_points": [[list(map(list, POINTS))]]}
    inputs = processor(images=Image.fromarray(TALL), return_tensors="pt", **asked)
    more = {"reshaped_input_sizes": inputs["reshaped_input_sizes"]} if "reshaped_input_sizes" in inputs else {}
    kept = {key: inputs[key] for key in ("pixel_values", "input_boxes", "input_points") if key in inputs}
    kept = {key: value.float() for key, value in kept.items()}
    with torch.no_grad():
        outputs = model(**kept, multimask_output="points" in prompt)
    best = int(outputs.iou_scores[0, 0].argmax())
    (whole,) = processor.image_processor.post_process_masks(
        outputs.pred_masks, inputs["original_sizes"], binarize=False, **more
    )
    np.testing.assert_allclose(found.alpha, torch.sigmoid(whole[0, best]).numpy(), atol=1e-5)
    assert found.predicted_iou == pytest.approx(float(outputs.iou_scores[0, 0, best]), abs=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_segment_anything_encodes_in_the_precision_that_is_asked_for(name, model_folder):
    exact, rough = (
        segmenter(name, model_folder, precision=precision).segment_prompted([SegmentRequest(TALL, BOX)])[0].alpha
        for precision in ("fp32", "bf16")
    )
    assert not (exact == rough).all()
    np.testing.assert_allclose(rough, exact, atol=0.1)


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        (SegmentAnything, synthesis_models.write_segment_anything),
        (SegmentAnything2, synthesis_models.write_segment_anything_2),
    ],
)
def test_segment_anything_that_finds_nothing_is_judged_by_its_score(kind, write, tmp_path):
    made = kind(str(write(tmp_path / "nothing", finds_nothing=True)), device="cpu", points_per_side=2)
    (result,) = SegmentStage(made)([planned(None)])
    assert result.scores["mask.area"] == (0.0,)
    assert len(result.scores["mask.predicted_iou"]) == 1


def test_segment_anything_needs_a_grid_of_points(model_folder):
    with pytest.raises(SamConfigurationError, match=r"stages\.segment\.points_per_side: found 0, wanted 1 or more"):
        segmenter("segment_anything", model_folder, points_per_side=0)


def test_grid_lies_in_the_middles_of_its_cells():
    assert _grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_main_object_is_the_largest_sure_mask_that_is_not_the_background():
    def mask(top, bottom, left, right, inside=9.0):
        logits = torch.full((40, 40), -9.0)
        logits[top:bottom, left:right] = inside
        return logits

    part, whole, background = mask(10, 20, 15, 25), mask(5, 35, 10, 30), -mask(5, 35, 10, 30)
    unsure, blurred, nothing = mask(2, 38, 2, 38), mask(2, 38, 2, 38, inside=0.5), mask(0, 0, 0, 0)
    logits = torch.stack([part, whole, background, unsure, blurred, nothing])
    ranks = list(_ranks(logits, torch.tensor([0.99, 0.9, 0.99, 0.5, 0.99, 0.99])))
    assert ranks.index(max(ranks)) == 1
    assert [is_sure for is_sure, _ in ranks] == [True, True, False, False, False, False]


def test_without_a_sure_mask_the_models_own_estimate_decides():
    logits = torch.zeros(2, 8, 8)
    ranks = list(_ranks(logits, torch.tensor([0.3, 0.6])))
    assert ranks.index(max(ranks)) == 1
