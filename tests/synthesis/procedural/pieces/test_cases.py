"""Pieces of `cases`: every one stands on the ground and is as tall as such a piece is."""

import dataclasses

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.pieces.cases import CASES
from lavis_sam.synthesis.procedural.pieces.parts import Look

LOOK = Look((90, 60, 40), (40, 30, 20), (200, 60, 60), "wood", True, 0, (1.0, 1.0, 1.0), 3)


@pytest.mark.parametrize("variant", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_a_piece_stands_on_the_ground_where_its_feet_are(name, variant):
    surfaces, feet = CASES[name].build(dataclasses.replace(LOOK, variant=variant))
    places = np.concatenate([surface.coarse.reshape(-1, 3) for surface in surfaces])
    assert abs(places[:, 1].min()) < 0.03
    assert 0.3 < places[:, 1].max() < 2.4
    for left, right, back, front in feet:
        assert left < right
        assert back < front
        assert places[:, 0].min() - 0.05 < left
        assert right < places[:, 0].max() + 0.05
