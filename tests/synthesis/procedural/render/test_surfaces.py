"""Surfaces: closed shapes show their outer side."""

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.render import mesh
from lavis_sam.synthesis.procedural.render.camera import Camera
from lavis_sam.synthesis.procedural.render.paint import plain
from lavis_sam.synthesis.procedural.render.raster import rasterise
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Loft, Surface, box_faces

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
CAMERA = Camera(eye=1.0, distance=4.0, focal=100.0, middle=50.0, horizon=50.0)


def seen(surfaces):
    """[100, 100] each: index of the surface in front, -1 where there is none, and depth, 0 where there is none."""
    column, row, _ = CAMERA.project(np.stack([surface.coarse for surface in surfaces]))
    frame = rasterise(mesh.mesh_of(surfaces, column, row), CAMERA, 100, 100)
    owner, depth = np.full(100 * 100, -1), np.zeros(100 * 100, np.float32)
    owner[frame.pixels] = np.repeat(np.arange(len(surfaces)), np.diff(frame.starts))
    depth[frame.pixels] = frame.depth
    return owner.reshape(100, 100), depth.reshape(100, 100)


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
