"""A camera and its horizon."""

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.render.camera import Camera


def test_a_camera_sees_its_eye_height_at_the_horizon():
    camera = Camera(eye=1.2, distance=3.0, focal=80.0, middle=40.0, horizon=33.0)
    column, row, depth = camera.project(np.float32([[0, 1.2, 0], [0, 1.2, -7], [1, 0, 0]]))
    assert row[:2] == pytest.approx([33, 33])
    assert column[0] == pytest.approx(40)
    assert column[2] > 40
    assert row[2] > 33
    assert list(depth) == [3, 10, 3]
