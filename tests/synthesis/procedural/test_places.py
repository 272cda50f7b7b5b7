"""What is known of the panoramas makes sense: edges below the horizon, views inside the circle, words for each."""

import pytest

from lavis_sam.synthesis.procedural.places import SCENES


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_has_words_edges_and_views(name):
    scene = SCENES[name]
    azimuths = [azimuth for azimuth, _ in scene.edges]
    assert scene.words
    assert azimuths == sorted(set(azimuths))
    assert all(0 <= azimuth < 360 and 0 < edge < 90 for azimuth, edge in scene.edges)
    assert all(low < high <= low + 360 for low, high in scene.views)


def test_edges_are_straight_between_their_places_and_closed_around_the_circle():
    scene = SCENES["apartment"]
    assert scene.edge(15.0) == pytest.approx(33.5)
    assert scene.edge(0.0) == scene.edge(360.0) == 33
    assert scene.edge(351.0) == pytest.approx((30 + 33) / 2)
