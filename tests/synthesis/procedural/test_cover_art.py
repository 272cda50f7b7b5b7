"""Artists of covers: each paints something, and the same of the same generator."""

import numpy as np
import pytest
from PIL import Image

from lavis_sam.synthesis.procedural.cover_art import ARTISTS, Canvas


def painted(name, seed=0):
    image = Image.new("RGB", (64, 96), (40, 60, 90))
    ARTISTS[name](Canvas(image, np.random.default_rng(seed), (40, 60, 90), (220, 160, 70), (250, 250, 250), "key"))
    return np.asarray(image)


@pytest.mark.parametrize("name", ARTISTS)
def test_an_artist_paints_the_same_of_the_same_generator(name):
    assert (painted(name) == painted(name)).all()
    assert (painted(name) != (40, 60, 90)).any(axis=2).mean() > 0.02
