"""The nearest surface wins, and trims cut holes."""

from dataclasses import replace

import numpy as np

from lavis_sam.synthesis.procedural.render import mesh
from lavis_sam.synthesis.procedural.render.camera import Camera
from lavis_sam.synthesis.procedural.render.paint import plain
from lavis_sam.synthesis.procedural.render.raster import rasterise
from lavis_sam.synthesis.procedural.render.surfaces import Sheet, Surface

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
