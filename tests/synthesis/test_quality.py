import math

import cv2
import numpy as np
import pytest

from lavis_sam.synthesis.configuration import SynthesisSettings, read_config
from lavis_sam.synthesis.quality import (
    SCORES,
    Limits,
    background_scores,
    composite_scores,
    extra_salient,
    first_violation,
    mask_scores,
    mentions,
    overlap,
    subject_difference,
    text_scores,
)
from lavis_sam.synthesis.records import Actor, Segment
from lavis_sam.synthesis.stages.composite import place

DEFAULTS = SynthesisSettings.from_config(read_config("mmlink")).quality
SIDE = 200


def alpha(*boxes, side=SIDE):
    """A mask of boxes (top, bottom, left, right); a fifth number is its value."""
    mask = np.zeros((side, side), np.float32)
    for top, bottom, left, right, *value in boxes:
        mask[top:bottom, left:right] = value[0] if value else 1.0
    return mask


def judged(scores):
    """The first threshold of the packaged configuration that is crossed."""
    listed = {name: values if isinstance(values, tuple) else (values,) for name, values in scores.items()}
    found = first_violation(listed, DEFAULTS)
    return found.score if found else None


# One whole object in the middle, and one mask for each way not to be one.
WHOLE = alpha((40, 160, 60, 140))
MASKS = {
    "mask.area": alpha((95, 105, 95, 105)),
    "mask.largest": alpha((20, 100, 20, 60), (20, 100, 120, 160)),
    "mask.holes": alpha((40, 160, 60, 140), (50, 150, 70, 130, 0.0)),
    "mask.border": alpha((100, 200, 0, 200)),
    "mask.stability": alpha((40, 160, 60, 140), (20, 180, 30, 60, 0.45)),
}


def test_a_whole_object_passes():
    assert judged(mask_scores(WHOLE)) is None


@pytest.mark.parametrize("score", MASKS)
def test_each_mask_check_rejects_a_mask_built_to_fail_it(score):
    assert judged(mask_scores(MASKS[score])) == score


def test_no_object_and_a_whole_image_are_rejected_by_their_area():
    assert judged(mask_scores(alpha())) == "mask.area"
    assert judged(mask_scores(alpha((0, SIDE, 0, SIDE)))) == "mask.area"


def test_a_segmenters_own_estimate_is_judged():
    assert judged(mask_scores(WHOLE, predicted_iou=0.5)) == "mask.predicted_iou"
    assert judged(mask_scores(WHOLE, predicted_iou=0.95)) is None
    assert "mask.predicted_iou" not in mask_scores(WHOLE)


def test_mask_figures():
    scores = mask_scores(alpha((0, 100, 0, 100)), exact=alpha((0, 100, 0, 50)))
    assert scores["mask.area"] == 0.25
    assert scores["mask.true_iou"] == 0.5
    assert scores["mask.border"] == pytest.approx(199 / (4 * SIDE - 4))
    holes = mask_scores(alpha((50, 150, 50, 150), (90, 110, 90, 110, 0.0)))
    assert holes["mask.holes"] == pytest.approx(400 / 10_000)
    assert holes["mask.largest"] == 1.0
    # A bay that reaches the outside is no hole, and a hole at the image's edge would be a bay.
    assert mask_scores(alpha((50, 150, 50, 150), (90, 110, 50, 110, 0.0)))["mask.holes"] == 0.0
    assert overlap(WHOLE > 2, WHOLE > 2) == 0.0


def layers(*boxes):
    """Opaque layers at (left, top, width, height), back to front, on a canvas of SIDE pixels."""
    cutout = Segment(np.full((10, 10, 4), 255, np.uint8))
    return [place(Actor(index, 0, "main"), cutout, box, SIDE) for index, box in enumerate(boxes)]


@pytest.mark.parametrize(
    ("score", "boxes"),
    [
        (None, [(10, 40, 60, 120), (110, 60, 60, 100)]),
        ("composite.inside", [(-10, 40, 60, 120), (110, 60, 60, 100)]),
        ("composite.visible", [(10, 40, 15, 20), (110, 60, 60, 100)]),
        ("composite.overlap", [(10, 40, 60, 120), (60, 60, 60, 100)]),
    ],
)
def test_each_composite_check_rejects_a_layout_built_to_fail_it(score, boxes):
    assert judged(composite_scores(layers(*boxes))) == score


def test_what_is_hidden_counts_for_the_one_behind():
    scores = composite_scores(layers((0, 0, 100, 100), (50, 0, 100, 100)))
    assert scores["composite.overlap"] == (0.5, 0.0)
    assert scores["composite.visible"] == (0.125, 0.25)
    nothing = composite_scores(layers((SIDE + 5, 0, 50, 50)))
    assert nothing["composite.inside"] == (0.0,)
    assert nothing["composite.overlap"] == (1.0,)


def scene(seed=0):
    """An image with something to see everywhere."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse.astype(int) + rng.integers(-15, 15, coarse.shape), 0, 255).astype(np.uint8)


def test_a_real_background_passes():
    assert judged(background_scores(scene(), WHOLE, 127)) is None


def _unpainted():
    image = scene()
    image[:120] = 127
    return image


def _blurred():
    return cv2.GaussianBlur(scene(), (0, 0), 12)


@pytest.mark.parametrize(
    ("score", "image"),
    [
        ("background.contrast", np.full((SIDE, SIDE, 3), 90, np.uint8)),
        ("background.fill", _unpainted()),
        ("background.sharpness", _blurred()),
    ],
)
def test_each_background_check_rejects_a_image_built_to_fail_it(score, image):
    assert judged(background_scores(image, WHOLE, 127)) == score


def test_a_image_without_background_is_rejected():
    assert judged(background_scores(scene(), np.ones((SIDE, SIDE), np.float32), 127)) == "background.contrast"


def test_the_object_itself_is_no_background():
    """A flat grey object of the fill colour in a real place."""
    image = scene()
    image[WHOLE > 0] = 127
    assert judged(background_scores(image, WHOLE, 127)) is None


def test_extra_objects_are_found_outside_the_known_ones_only():
    assert extra_salient(WHOLE, WHOLE) == 0
    found = np.maximum(WHOLE, alpha((0, 100, 150, 200)))
    assert extra_salient(found, WHOLE) == pytest.approx(100 * 50 / SIDE**2)
    assert judged({"background.extra_salient": extra_salient(found, WHOLE)}) == "background.extra_salient"


def test_the_subjects_inside_must_survive():
    before = scene()
    after = before.copy()
    after[WHOLE == 0] = 0
    assert subject_difference(before, after, WHOLE) == 0
    after = np.clip(before.astype(int) + 50, 0, 255).astype(np.uint8)
    assert judged({"subject.difference": subject_difference(before, after, WHOLE)}) == "subject.difference"
    assert judged({"subject.pasted": 1.0}) == "subject.pasted"
    # A mixed edge is nobody's fault ...
    edge = before.copy()
    edge[40:42, 60:140] = 0
    assert subject_difference(before, edge, WHOLE) == 0
    # ... and an object without an inside is measured where it is.
    thin = alpha((40, 160, 100, 103))
    assert subject_difference(before, np.zeros_like(before), thin) > 0
    assert subject_difference(before, np.zeros_like(before), alpha()) == 0


LONG = ("woman in a striped white tank top and shorts",)
ANSWER = "The person in both images is a young woman wearing a blue jumpsuit and sandals."


@pytest.mark.parametrize(
    ("score", "output", "required", "prompts", "banned"),
    [
        (
            None,
            ANSWER,
            ("young woman", "blue jumpsuit"),
            ("Describe the person in both images, please do.",),
            ("as an ai",),
        ),
        ("text.attributes", ANSWER, ("young woman", "red jumpsuit"), (), ()),
        ("text.words", "Yes.", ("yes",), (), ()),
        ("text.words", "word " * 81, (), (), ()),
        ("text.leaked_prompt", f"Rewrite: {ANSWER}", (), (ANSWER + " Make it shorter.",), ()),
        (None, "The woman in a striped white tank top and shorts sits.", LONG, (f"What does the {LONG[0]} do?",), ()),
        ("text.leaked_prompt", f"The {LONG[0]} sits.", (), (f"What does the {LONG[0]} do?",), ()),
        ("text.banned", "As an AI, I see a woman.", ("woman",), (), ("as an ai",)),
    ],
)
def test_each_text_check_rejects_an_answer_built_to_fail_it(score, output, required, prompts, banned):
    assert judged(text_scores(output, required, prompts, banned)) == score


@pytest.mark.parametrize(
    ("text", "phrase", "answer"),
    [
        ("a shredded t-shirt", "red", False),
        ("A RED shirt", "red", True),
        ("a T-shirt, blue", "t shirt", True),
        ("blue jumpsuit", "jumpsuit blue", False),
        ("by David W. Stoller MD", "David W. Stoller MD", True),
    ],
)
def test_phrases_are_whole_words(text, phrase, answer):
    assert mentions(text, phrase) is answer


def test_half_of_the_attributes():
    assert text_scores("a red sofa", ("red", "leather"))["text.attributes"] == 0.5
    assert text_scores("a red sofa", ())["text.attributes"] == 1.0


def test_every_threshold_of_the_packaged_configuration_acts():
    """A value just outside each limit is rejected under that score's name, one just inside is not."""
    for name, limits in DEFAULTS.items():
        step = 1e-6
        for limit, outside in ((limits.min, -step), (limits.max, step)):
            if limit is not None:
                assert judged({name: limit + outside}) == name
                assert judged({name: limit}) is None
        assert judged({name: math.nan}) == name
    assert set(DEFAULTS) == set(SCORES)


def test_a_violation_says_which_value_and_what_was_wanted():
    found = first_violation({"mask.area": (0.5, 0.9)}, {"mask.area": Limits(0.02, 0.8)})
    assert (found.score, found.index, found.value, found.wanted) == ("mask.area", 1, 0.9, "at most 0.8")
    assert first_violation({"mask.area": (0.9,)}, {}) is None
