"""Arrays of the drawing code: float32, broadcast, and a cross product like NumPy's."""

import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import cross, floats, points_at


def test_cross_products_are_numpys():
    first, second = np.random.default_rng(0).normal(size=(2, 50, 3)).astype(np.float32)
    np.testing.assert_allclose(cross(first, second), np.cross(first, second), atol=1e-6)
    np.testing.assert_allclose(cross(first[0], second), np.cross(first[0], second), atol=1e-6)


def test_points_broadcast_their_coordinates():
    points = points_at(np.float32([[1], [2]]), np.float32([3, 4, 5]), floats(6))
    assert points.shape == (2, 3, 3)
    assert points[1, 2].tolist() == [2, 5, 6]
    assert points.dtype == np.float32
