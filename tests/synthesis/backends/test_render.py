"""The small renderer: tables are as good as the shapes, the nearest surface wins, light comes from its side."""

import numpy as np
import pytest

from lavis_sam.synthesis.backends.render import mesh
from lavis_sam.synthesis.backends.render.camera import Camera
from lavis_sam.synthesis.backends.render.paint import linear, plain, srgb
from lavis_sam.synthesis.backends.render.picture import render
from lavis_sam.synthesis.backends.render.raster import rasterise
from lavis_sam.synthesis.backends.render.surfaces import Ellipsoid, Loft, Sheet, Surface, box_faces

SHAPES = {
    "ball": Ellipsoid((0.1, 0.5, 0.0), (0.3, 0.4, 0.2)),
    "bar": Loft([(0, 0, 0), (0.05, 0.4, 0.1), (0, 1, 0)], [0.1, 0.15, 0.05], round_ends=(True, True)),
    "box": box_faces((0, 0.5, 0), (0.4, 0.3, 0.2), radius=0.05)[5],
}


@pytest.mark.parametrize("name", SHAPES)
def test_tables_follow_the_shape(name):
    shape, cells = SHAPES[name], 40
    entries = mesh.table(shape.point, cells, cells)
    fine = mesh.dense(entries)
    places = mesh.middles(cells * mesh.SAMPLES)
    exact = shape.point(places[:, None], places[None, :])
    assert fine.shape == exact.shape
    assert np.abs(fine - exact).max() < 0.01
    rng = np.random.default_rng(0)
    u, v = rng.uniform(0, 1, (2, 20_000)).astype(np.float32)
    assert np.abs(mesh.looked_up(entries, u, v) - shape.point(u, v)).max() < 0.01


def sheet(z, colour):
    corners = np.float32([(-1, 0, z), (1, 0, z), (1, 2, z), (-1, 2, z)])
    return Surface(Sheet(corners), plain(colour))


def test_the_nearest_surface_wins_whatever_the_order():
    camera = Camera(eye=1.0, distance=4.0, focal=100.0, middle=50.0, horizon=50.0)
    near, far = sheet(0.5, (255, 0, 0)), sheet(-0.5, (0, 255, 0))
    for surfaces, wanted in (([near, far], 0), ([far, near], 1)):
        frame = rasterise(surfaces, camera, 100, 100)
        middle = frame.owner.reshape(100, 100)[35:65, 35:65]
        assert (middle == wanted).all(), "no pixel is missed"


def test_a_camera_sees_its_eye_height_at_the_horizon():
    camera = Camera(eye=1.2, distance=3.0, focal=80.0, middle=40.0, horizon=33.0)
    column, row, depth = camera.project(np.float32([[0, 1.2, 0], [0, 1.2, -7], [1, 0, 0]]))
    assert row[:2] == pytest.approx([33, 33])
    assert column[0] == pytest.approx(40)
    assert column[2] > 40
    assert row[2] > 33
    assert list(depth) == [3, 10, 3]


def test_light_comes_from_the_upper_left():
    ball = Surface(Ellipsoid((0.0, 0.5, 0.0), (0.5, 0.5, 0.5)), plain((160, 160, 160)))
    rgba = render([ball], eye=0.5, distance=4.0, height=80).rgba
    size = rgba.shape[0]
    upper_left, lower_right = rgba[size // 4, size // 4, 0], rgba[3 * size // 4, 3 * size // 4, 0]
    assert upper_left > lower_right + 20
    assert rgba[size // 2, size // 2, 3] == 255
    assert rgba[0, 0, 3] == 0


def test_colours_survive_the_way_to_linear_light_and_back():
    for colour in ((0, 0, 0), (255, 255, 255), (204, 46, 50), (3, 9, 12)):
        assert np.abs(srgb(linear(colour)) * 255 - colour).max() < 0.5
