"""The small renderer: tables are as good as the shapes, the nearest surface wins, light comes from its side."""

from dataclasses import replace

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.render import mesh
from lavis_sam.synthesis.procedural.render.camera import Camera
from lavis_sam.synthesis.procedural.render.image import _developed, render
from lavis_sam.synthesis.procedural.render.paint import linear, plain, srgb
from lavis_sam.synthesis.procedural.render.raster import rasterise
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Loft, Sheet, Surface, box_faces

SHAPES = {
    "ball": Ellipsoid((0.1, 0.5, 0.0), (0.3, 0.4, 0.2)),
    "bar": Loft([(0, 0, 0), (0.05, 0.4, 0.1), (0, 1, 0)], [0.1, 0.15, 0.05], round_ends=(True, True)),
    "box": box_faces((0, 0.5, 0), (0.4, 0.3, 0.2), radius=0.05)[5],
}
# Axes of a box that lies askew.
TILTED = np.float32([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]])
COLUMN = [(0, y, 0) for y in (0.2, 0.2, 1.2, 1.2)]
CLOSED = {
    "ball": [SHAPES["ball"]],
    "bar": [SHAPES["bar"]],
    "column": [Loft(COLUMN, [0.002, 0.4, 0.3, 0.002], level=True, smooth=False)],
    "column, from its top down": [Loft(COLUMN[::-1], [0.002, 0.4, 0.3, 0.002], level=True, smooth=False)],
    "box": box_faces((0, 0.9, 0), (0.6, 0.5, 0.4), radius=0.05, frame=TILTED),
}


@pytest.mark.parametrize("name", SHAPES)
def test_tables_follow_the_shape(name):
    shape, cells = SHAPES[name], 40
    entries = mesh.table(shape, cells, cells)
    places = mesh.nodes(cells)
    assert np.abs(entries - shape.point(places[:, None], places[None, :])).max() == 0
    rng = np.random.default_rng(0)
    u, v = rng.uniform(0, 1, (2, 20_000)).astype(np.float32)
    assert np.abs(mesh.looked_up(mesh.continued(entries), u, v) - shape.point(u, v)).max() < 0.01


CAMERA = Camera(eye=1.0, distance=4.0, focal=100.0, middle=50.0, horizon=50.0)


def seen(surfaces):
    """[100, 100] each: index of the surface in front, -1 where there is none, and depth, 0 where there is none."""
    column, row, _ = CAMERA.project(np.stack([surface.coarse for surface in surfaces]))
    frame = rasterise(mesh.mesh_of(surfaces, column, row), CAMERA, 100, 100)
    owner, depth = np.full(100 * 100, -1), np.zeros(100 * 100, np.float32)
    owner[frame.pixels] = np.repeat(np.arange(len(surfaces)), np.diff(frame.starts))
    depth[frame.pixels] = frame.depth
    return owner.reshape(100, 100), depth.reshape(100, 100)


def sheet(z, colour):
    corners = np.float32([(-1, 0, z), (1, 0, z), (1, 2, z), (-1, 2, z)])
    return Surface(Sheet(corners), plain(colour))


def test_the_nearest_surface_wins_whatever_the_order():
    near, far = sheet(0.5, (255, 0, 0)), sheet(-0.5, (0, 255, 0))
    for surfaces, wanted in (([near, far], 0), ([far, near], 1)):
        assert (seen(surfaces)[0][35:65, 35:65] == wanted).all(), "no pixel is missed"


def test_one_sees_through_what_a_trim_cuts_out():
    near = replace(sheet(0.5, (255, 0, 0)), trim=lambda u, v, points: points[..., 0] < 0)
    image = seen([near, sheet(-0.5, (0, 255, 0))])[0][35:65]
    assert (image[:, 35:48] == 0).all()
    assert (image[:, 52:65] == 1).all()


@pytest.mark.parametrize("name", CLOSED)
def test_closed_shapes_show_their_outer_side(name):
    """Their inner side is left out, and that changes nothing."""
    outer = [Surface(shape, plain((255, 255, 255))) for shape in CLOSED[name]]
    both = [Surface(BothSides(shape), plain((255, 255, 255))) for shape in CLOSED[name]]
    assert all(surface.outward for surface in outer)
    depth = seen(both)[1]
    there = depth > 0
    assert there.sum() > 150
    assert (np.abs(seen(outer)[1] - depth) > 0.02)[there].mean() < 0.03


class BothSides:
    """A shape that does not tell which of its sides is the outer one."""

    outward = 0

    def __init__(self, shape):
        self.point = shape.point


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


def test_developed_light_is_what_screens_show():
    light = np.float32([0, 0.001, 0.02, 0.2, 0.5, 0.74])
    assert np.abs(_developed(light) - srgb(light)).max() < 1e-3
    bright = _developed(np.float32([0.75, 1, 2, 3.9, 40]))
    assert (np.diff(bright) >= 0).all()
    assert bright[0] > 0.85
    assert bright[-1] <= 1
