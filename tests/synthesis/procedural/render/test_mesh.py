"""Tables of points follow the shape."""

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.render import mesh
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Loft, box_faces

SHAPES = {
    "ball": Ellipsoid((0.1, 0.5, 0.0), (0.3, 0.4, 0.2)),
    "bar": Loft([(0, 0, 0), (0.05, 0.4, 0.1), (0, 1, 0)], [0.1, 0.15, 0.05], round_ends=(True, True)),
    "box": box_faces((0, 0.5, 0), (0.4, 0.3, 0.2), radius=0.05)[5],
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
