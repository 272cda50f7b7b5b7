"""Parts of furniture: boards fill the space between their corners, legs carry, looks have their gloss."""

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.pieces.parts import Look, ball, board
from lavis_sam.synthesis.procedural.render.paint import plain


def look(material):
    return Look((90, 60, 40), (40, 30, 20), (200, 60, 60), material, True, 0, (1.0, 1.0, 1.0), 3)


def test_a_board_fills_the_space_between_its_corners():
    places = np.concatenate([s.coarse.reshape(-1, 3) for s in board((-1, 0, -0.5), (1, 0.1, 0.5), plain((9, 9, 9)))])
    np.testing.assert_allclose(places.min(axis=0), (-1, 0, -0.5), atol=0.01)
    np.testing.assert_allclose(places.max(axis=0), (1, 0.1, 0.5), atol=0.01)


def test_a_ball_has_its_radius_around_its_centre():
    places = ball((1, 2, 3), 0.25, plain((9, 9, 9))).coarse.reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(places - (1, 2, 3), axis=1), 0.25, atol=1e-4)


@pytest.mark.parametrize(("material", "gloss"), [("metal", 0.30), ("leather", 0.22), ("fabric", 0.0)])
def test_looks_shine_by_their_material(material, gloss):
    assert look(material).gloss == gloss
