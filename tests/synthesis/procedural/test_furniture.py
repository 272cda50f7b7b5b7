"""Furniture: true perspective, plausible sizes, words that are drawn."""

import dataclasses

import numpy as np
import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.furniture import (
    describe_furniture,
    draw_furniture,
    furniture_height,
    sample_furniture,
)
from lavis_sam.synthesis.procedural.pieces import PIECES


def piece(kind, seed=0):
    return sample_furniture(np.random.default_rng(seed), "train", kind)


@pytest.mark.parametrize("kind", PIECES)
def test_every_piece_is_drawn_from_two_sides(kind):
    left, right = (draw_furniture(piece(kind), azimuth, 12, 96) for azimuth in (-40, 25))
    for drawn in (left, right):
        solid = drawn.rgba[..., 3] > 128
        assert 0.02 < solid.mean() < 0.98
        assert max(drawn.rgba.shape[:2]) == pytest.approx(96, abs=4)
        assert max(y for outline in drawn.contacts for _, y in outline) > 0.6 * drawn.rgba.shape[0], (
            "it stands on its feet"
        )
    if kind not in ("stool", "round table", "floor lamp"):
        assert left.rgba.shape != right.rgba.shape or (left.rgba != right.rgba).mean() > 0.05
    assert 0.3 < furniture_height(piece(kind)) < 2.3


def test_furniture_has_the_colour_of_its_name():
    sofa = dataclasses.replace(piece("sofa"), colour="red", material="fabric", variant=0, parts="")
    means = []
    for colour in ("red", "blue"):
        rgba = draw_furniture(dataclasses.replace(sofa, colour=colour), 20, 12, 96).rgba
        means.append(rgba[rgba[..., 3] > 250][:, :3].mean(axis=0))
        assert dataclasses.replace(sofa, colour=colour).name == f"{colour} fabric sofa"
    assert means[0][0] > 2 * means[0][2]
    assert means[1][2] > 1.5 * means[1][0]


def test_parts_have_the_right_article():
    found = {describe_furniture(piece("bed", seed))[1] for seed in range(40)}
    assert "with an orange cover" in found
    assert not any(" a orange" in parts for parts in found)


@pytest.mark.parametrize(("elevation", "size", "wrong"), [(80, 96, "elevation"), (12, 8, "size")])
def test_bad_requests_are_refused(elevation, size, wrong):
    with pytest.raises(SamConfigurationError, match=wrong):
        draw_furniture(piece("chair"), 0, elevation, size)


def test_an_unknown_kind_of_furniture_is_refused():
    with pytest.raises(SamConfigurationError, match="spaceship"):
        piece("spaceship")
