"""Places: views of panoramas, and free ground below what stands in them."""

import numpy as np
import pytest

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.procedural.places import SCENES
from lavis_sam.synthesis.procedural.scenes import has_room, render_background, sample_view, scene_names

FEET = ((-0.3, 0.35), (-0.1, 0.35), (0.1, 0.45), (0.3, 0.40))


def test_every_scene_belongs_to_one_split():
    assert sorted(scene_names("train") + scene_names("held_out")) == sorted(SCENES)
    assert len(scene_names("held_out")) >= 5, "a group has five images in five places"


@pytest.mark.parametrize("name", SCENES)
def test_views_have_free_ground_for_objects(name):
    scene = SCENES[name]
    for seed in range(5):
        yaw, fov = sample_view(np.random.default_rng(seed), name, FEET)
        focal = 0.5 / np.tan(np.deg2rad(fov / 2))
        for right, below in FEET:
            azimuth = yaw + np.rad2deg(np.arctan2(right, focal))
            sinks = np.rad2deg(np.arctan2(below, np.hypot(right, focal)))
            assert sinks > scene.edge(azimuth) - 6.01


def test_what_fits_nowhere_is_refused():
    with pytest.raises(SamDataError, match="apartment"):
        sample_view(np.random.default_rng(0), "apartment", [(0.0, 0.05)])
    assert not has_room(np.random.default_rng(0), "apartment", [(0.0, 0.05)])
    assert has_room(np.random.default_rng(0), "apartment", FEET)


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_is_rendered(name):
    place = render_background(name, 40.0, 0.0, 70.0, 64, horizon=0.4)
    assert place.rgb.shape == (64, 64, 3)
    assert place.rgb.std() > 3
    assert place.horizon_row == pytest.approx(0.4 * 64)
    assert np.linalg.norm(place.light) == pytest.approx(1, abs=1e-3)


def test_turning_moves_the_image_and_the_light():
    first, second = (render_background("park", yaw, 0.0, 70.0, 64) for yaw in (0.0, 90.0))
    assert (first.rgb != second.rgb).mean() > 0.5
    assert first.light[1] == second.light[1]
    assert first.light[0] != pytest.approx(second.light[0], abs=0.1)


def test_a_full_turn_is_no_turn():
    first, second = (render_background("city", yaw, 0.0, 70.0, 64).rgb.astype(int) for yaw in (10.0, 370.0))
    assert np.abs(first - second).mean() < 0.5


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [(("moon", 0, 0, 70), "moon"), (("park", 0, 0, 150), "fov"), (("park", 0, 80, 70), "pitch")],
)
def test_bad_requests_are_refused(arguments, wrong):
    with pytest.raises(SamConfigurationError, match=wrong):
        render_background(*arguments)
