"""Subjects in a place: exact colours, and shadows on the ground that touch the feet."""

import numpy as np
import pytest

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.procedural.compositor import PlacedLayer, compose, find_feet, ground_shadow
from lavis_sam.synthesis.procedural.scenes import SceneView

SIZE = 96


def place(light=(0.4, 0.8, 0.45), strength=0.8):
    rgb = np.full((SIZE, SIZE, 3), 180, np.uint8)
    return SceneView(rgb, 0.35 * SIZE, light, strength, indoors=False, focal=90.0)


def pillar(left=40, right=56, top=30, bottom=70, contacts=True):
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba[top:bottom, left:right] = (200, 60, 40, 255)
    if not contacts:
        return PlacedLayer(rgba)
    outline = ((left, bottom - 4.0), (right, bottom - 4.0), (right, float(bottom)), (left, float(bottom)))
    return PlacedLayer(rgba, (outline,))


def test_opaque_pixels_keep_their_colours():
    layer = pillar()
    image = compose([layer], place())
    opaque = layer.rgba[..., 3] == 255
    assert (image[opaque] == (200, 60, 40)).all()
    assert image[2, 2, 0] != 200


def test_the_shadow_touches_the_feet_and_stays_on_the_ground():
    shade = ground_shadow(pillar(), place())
    assert shade[: int(0.35 * SIZE)].max() == 0, "nothing above the horizon"
    assert shade[68:72, 42:54].min() > 0.3, "dark where it stands"
    assert shade[-4:].max() < 0.2
    assert shade.max() < 1


@pytest.mark.parametrize(("sideways", "darker"), [(0.7, "left"), (-0.7, "right")])
def test_the_shadow_falls_away_from_the_light(sideways, darker):
    shade = ground_shadow(pillar(), place(light=(sideways, 0.6, 0.4)))
    left, right = shade[:, :38].sum(), shade[:, 58:].sum()
    assert (left > 1.5 * right) if darker == "left" else (right > 1.5 * left)


@pytest.mark.parametrize("ahead", [0.03, -0.03])
def test_a_lamp_overhead_throws_no_shadow_to_the_front(ahead):
    """There the shadow of a flat image would lie apart from an object with depth."""
    shade = ground_shadow(pillar(), place(light=(0.0, 0.99, ahead)))
    assert shade[66:70, 44:52].min() > 0.8, "dark under it"
    assert shade[72:].max() < 0.2


def test_soft_light_throws_softer_shadows():
    hard, soft = (ground_shadow(pillar(), place(strength=strength)) for strength in (1.0, 0.0))
    free = np.ones((SIZE, SIZE), bool)
    free[:, 38:58] = False
    assert hard[free].max() > soft[free].max()


def test_feet_are_found_where_nobody_knows_them():
    row, (outline,) = find_feet(pillar(contacts=False), place())
    assert row == pytest.approx(70, abs=1)
    assert min(x for x, _ in outline) == pytest.approx(40, abs=2)
    assert find_feet(pillar(top=2, bottom=20, contacts=False), place()) is None, "it hangs above the horizon"


def test_a_layer_of_another_size_is_refused():
    with pytest.raises(SamDataError, match="layer of"):
        compose([PlacedLayer(np.zeros((8, 8, 4), np.uint8))], place())
