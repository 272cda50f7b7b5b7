"""Light becomes an image."""

import numpy as np

from lavis_sam.synthesis.procedural.render.image import _developed
from lavis_sam.synthesis.procedural.render.paint import srgb


def test_developed_light_is_what_screens_show():
    light = np.float32([0, 0.001, 0.02, 0.2, 0.5, 0.74])
    assert np.abs(_developed(light) - srgb(light)).max() < 1e-3
    bright = _developed(np.float32([0.75, 1, 2, 3.9, 40]))
    assert (np.diff(bright) >= 0).all()
    assert bright[0] > 0.85
    assert bright[-1] <= 1
