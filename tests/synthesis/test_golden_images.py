"""What is drawn looks as it did: each image against a stored one, within what another processor's rounding changes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parent / "golden"
# Of 255, over all channels. A pixel at an edge may fall to the other side of it; an image of them may not.
MEAN, MOST, WITHIN = 1.0, 12, 0.99

_spec = importlib.util.spec_from_file_location("make_golden_images", FOLDER / "make_golden_images.py")
golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)


@pytest.mark.parametrize("name", golden.IMAGES)
def test_drawn_images_equal_their_golden_ones(name):
    wanted = np.asarray(Image.open(FOLDER / f"{name}.png")).astype(int)
    found = golden.IMAGES[name]().astype(int)
    assert found.shape == wanted.shape
    difference = np.abs(found - wanted)
    assert difference.mean() < MEAN
    assert (difference <= MOST).mean() >= WITHIN


def test_every_golden_image_is_drawn():
    assert {path.stem for path in FOLDER.glob("*.png")} == set(golden.IMAGES)
