"""Where the light comes from."""

from lavis_sam.synthesis.procedural.render.image import render
from lavis_sam.synthesis.procedural.render.paint import plain
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Surface


def test_light_comes_from_the_upper_left():
    ball = Surface(Ellipsoid((0.0, 0.5, 0.0), (0.5, 0.5, 0.5)), plain((160, 160, 160)))
    rgba = render([ball], eye=0.5, distance=4.0, height=80).rgba
    size = rgba.shape[0]
    upper_left, lower_right = rgba[size // 4, size // 4, 0], rgba[3 * size // 4, 3 * size // 4, 0]
    assert upper_left > lower_right + 20
    assert rgba[size // 2, size // 2, 3] == 255
    assert rgba[0, 0, 3] == 0
