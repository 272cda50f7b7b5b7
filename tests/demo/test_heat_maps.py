"""Heat maps of the other images, as HTML that others' names cannot change."""

import re

import numpy as np
from PIL import Image

from lavis_sam.demo.heat_maps import heat_maps
from lavis_sam.explain.measures import Explanation

NAMES = ("a.png", "<b>.png", "c.png")


def explanation(count=3, **changes):
    change = np.arange(count * count, dtype=np.float32).reshape(count, count) / 100
    values = {
        "instruction": "What?",
        "adaptive_weights": np.full((count, count, 5), 1 / count, np.float32),
        "cross_attention": None,
        "cross_attention_layer": None,
        "is_cross_attention_shared": False,
        "semantics_norm": np.full(count, 2, np.float32),
        "masked_change": change,
        "gradient": np.random.default_rng(0).random((count, count, 5), np.float32),
    }
    return Explanation(**values | changes)


def images(count=3):
    return [Image.new("RGB", (20, 20), "#808080")] * count


def test_each_image_has_the_others_with_what_would_change_without_them():
    shown = heat_maps(explanation(), images(), NAMES)
    assert shown.count("<figure>") == 3 + 3 * 2
    guided = shown.split("<h3>What guided image 2 (&lt;b&gt;.png)</h3>")[1].split("<h3>")[0]
    assert re.findall(r"image (\d) \(([a-c]).png\): without it ([\d.]+)% would change</figcaption>", guided) == [
        ("1", "a", "1.5"),
        ("3", "c", "2.5"),
    ]
    assert "<b>" not in shown


def test_brightness_has_one_scale_for_all_pairs():
    gradient = np.zeros((2, 2, 5), np.float32)
    gradient[0, 1], gradient[1, 0] = 1.0, 0.5
    gradient[0, 0] = 9.0  # what an image does to itself is not drawn, and does not dim the rest
    strong, weak = re.findall(r'src="([^"]+)"', heat_maps(explanation(2, gradient=gradient), images(2), NAMES))[2:]
    gradient[1, 0] = 1.0
    assert strong != weak
    again = re.findall(r'src="([^"]+)"', heat_maps(explanation(2, gradient=gradient), images(2), NAMES))[2:]
    assert again == [strong, strong]


def test_where_nothing_guides_it_says_so():
    assert "one image" in heat_maps(explanation(1), images(1), NAMES)
    assert "Nothing guides" in heat_maps(explanation(semantics_norm=np.zeros(3, np.float32)), images(), NAMES)


def test_pairs_of_many_images_are_left_to_the_command():
    shown = heat_maps(explanation(9), images(9), [f"{n}.png" for n in range(9)])
    assert shown.count("<figure>") == 9
    assert "up to 8 images" in shown
