"""Colours as light."""

import numpy as np

from lavis_sam.synthesis.procedural.render.paint import linear, srgb


def test_colours_survive_the_way_to_linear_light_and_back():
    for colour in ((0, 0, 0), (255, 255, 255), (204, 46, 50), (3, 9, 12)):
        assert np.abs(srgb(linear(colour)) * 255 - colour).max() < 0.5
