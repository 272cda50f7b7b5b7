"""The drawings say what the measures say: the brightest patch is the largest value, in its place."""

import numpy as np
import pytest
from PIL import Image

from helpers.environments import REPOSITORY
from lavis_sam.errors import SamDataError
from lavis_sam.explain.drawing import CELL, GAP, LABELS, LINE, colour, draw_overview, overlay
from lavis_sam.explain.measures import Explanation

IMAGES = [Image.new("RGB", (30, 20), shade) for shade in ("#404040", "#808080", "#c0c0c0")]


def explanation(count=3, **changes):
    generator = np.random.default_rng(0)
    values = {
        "instruction": "What?",
        "adaptive_weights": generator.random((count, count, 5), np.float32),
        "cross_attention": generator.random((count, 2, 5), np.float32),
        "cross_attention_layer": 3,
        "is_cross_attention_shared": True,
        "semantics_norm": np.ones(count, np.float32),
        "masked_change": np.zeros((count, count), np.float32),
        "gradient": generator.random((count, count, 5), np.float32),
    }
    return Explanation(**values | changes)


def brightness(image, box):
    return float(np.asarray(image.crop(box).convert("L"), dtype=float).mean())


def test_the_brightest_patch_is_the_largest_value_in_its_place():
    heat = np.array([9, 0.1, 0.2, 1.0, 0.3])  # CLS, then two rows of two patches: the third is below on the left
    drawn = overlay(IMAGES[0], heat, size=20)
    quarters = [brightness(drawn, box) for box in ((0, 0, 10, 10), (10, 0, 20, 10), (0, 10, 10, 20), (10, 10, 20, 20))]
    assert int(np.argmax(quarters)) == 2
    assert np.argsort(quarters).tolist() == np.argsort(heat[1:]).tolist(), "the more, the brighter"


def test_colours_grow_lighter_all_the_way():
    levels = colour(np.linspace(0, 1, 101)) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(levels) > 0).all()


def test_a_common_scale_makes_a_weak_map_dark():
    heat = np.array([0, 0.1, 0.1, 0.1, 0.1])
    own, common = overlay(IMAGES[1], heat), overlay(IMAGES[1], heat, brightest=1.0)
    box = (0, 0, CELL, CELL)
    assert brightness(common, box) < brightness(own, box)
    assert brightness(overlay(IMAGES[1], np.zeros(5)), box) < brightness(own, box)


def test_each_row_of_the_overview_shows_its_measure():
    gradient = np.zeros((3, 3, 5), np.float32)
    gradient[1, 2, 4] = 1.0  # image 3 guides image 2, by its last patch
    found = draw_overview(explanation(gradient=gradient), IMAGES)
    rows = 1 + 1 + 1 + 3
    height = CELL + LINE + GAP
    top = found.height - GAP - rows * height
    brightest = {}
    for i in range(3):
        for m in range(3):
            left, upper = LABELS + m * (CELL + GAP), top + (3 + i) * height
            half = CELL // 2
            brightest[i, m] = brightness(found, (left + half, upper + half, left + CELL, upper + CELL))
    assert max(brightest, key=brightest.get) == (1, 2)


@pytest.mark.parametrize(
    ("count", "changes", "rows"),
    [
        (1, {}, 4),
        (2, {}, 5),
        (2, {"cross_attention": None, "cross_attention_layer": None}, 4),
        (3, {"is_cross_attention_shared": False}, 6),
        (9, {}, 3),  # too many for a table of all pairs
    ],
)
def test_an_overview_has_a_column_for_each_image_and_a_row_for_each_measure(count, changes, rows):
    found = draw_overview(explanation(count, **changes), IMAGES[:1] * count)
    assert (found.width - LABELS) // (CELL + GAP) == max(count, 3)
    assert found.height // (CELL + LINE + GAP) == rows


def test_an_untrained_model_says_that_nothing_guides():
    trained = draw_overview(explanation(), IMAGES)
    untrained = draw_overview(explanation(semantics_norm=np.zeros(3, np.float32)), IMAGES)
    assert untrained.height > trained.height, "there is a line more"


@pytest.mark.parametrize(
    ("heat", "words"),
    [
        (np.ones(4), "a map of 4 values cannot be drawn"),
        (np.ones(1), "a map of 1 values cannot be drawn"),
        (np.array([0, 1, 1, 1, -1.0]), "negative values or no numbers"),
        (np.array([0, 1, 1, 1, np.nan]), "negative values or no numbers"),
    ],
)
def test_maps_that_cannot_be_drawn(heat, words):
    with pytest.raises(SamDataError, match=words):
        overlay(IMAGES[0], heat)


def test_images_of_another_sample():
    with pytest.raises(SamDataError, match="of 3 images, 2 images were given"):
        draw_overview(explanation(), IMAGES[:2])


def test_the_image_in_the_documentation_is_laid_out_as_today_and_small():
    """tools/make_explanation.py draws it anew."""
    path = REPOSITORY / "docs" / "explain.png"
    assert Image.open(path).size == draw_overview(explanation(), IMAGES).size
    assert path.stat().st_size < 300_000
