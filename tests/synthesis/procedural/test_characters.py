"""People: attributes decide the image, and the record says what is drawn."""

import numpy as np
import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.characters import (
    CharacterAttributes,
    Garment,
    describe_character,
    draw_character,
    sample_character,
    sample_pose,
)
from lavis_sam.synthesis.procedural.colours import COLOURS
from lavis_sam.synthesis.procedural.figure.skeleton import POSES
from lavis_sam.synthesis.quality import mentions

PERSON = CharacterAttributes(
    kind="woman",
    age="young",
    figure="average",
    tallness=1.0,
    skin="light",
    eyes=0,
    hair_style="long",
    hair_colour="brown",
    beard=False,
    upper=None,
    lower=None,
    whole=Garment("dress", "blue"),
    shoes=Garment("boots", "black"),
    accessory=None,
)


def share_of(cutout, colour):
    """Share of the visible pixels whose hue is a colour's."""
    rgba = cutout.rgba[cutout.rgba[..., 3] > 200][:, :3].astype(float)
    wanted = np.array(COLOURS[colour], float)
    angle = (rgba @ wanted) / (np.linalg.norm(rgba, axis=1) * np.linalg.norm(wanted) + 1e-6)
    return float((angle > 0.985).mean())


def test_the_dress_has_the_colour_that_the_record_says():
    drawn = draw_character(PERSON, "standing", 160)
    assert PERSON.words()["whole"] == "blue dress"
    assert share_of(drawn, "blue") > 0.2
    red = draw_character(CharacterAttributes(**{**PERSON.__dict__, "whole": Garment("dress", "red")}), "standing", 160)
    assert share_of(red, "blue") < 0.05 < 0.2 < share_of(red, "red")


def _ground(drawn):
    return max(y for outline in drawn.contacts for _, y in outline)


@pytest.mark.parametrize("pose", POSES)
def test_every_pose_is_drawn_and_stands_on_the_ground(pose):
    drawn = draw_character(PERSON, pose, 128, turn=10)
    rows = np.nonzero((drawn.rgba[..., 3] > 128).any(axis=1))[0]
    assert drawn.rgba.shape[0] == pytest.approx(128, abs=4)
    assert abs(_ground(drawn) - rows.max()) < 0.06 * np.ptp(rows), "the feet are where the image ends"
    assert 1.0 < drawn.metres < 2.3


def test_poses_and_turns_change_the_image_but_not_the_person():
    first, second = draw_character(PERSON, "waving", 128), draw_character(PERSON, "walking", 128, turn=35)
    assert first.rgba.shape != second.rgba.shape or (first.rgba != second.rgba).any()
    assert abs(share_of(first, "blue") - share_of(second, "blue")) < 0.15


def test_the_mask_has_no_holes_where_surfaces_are_sampled():
    alpha = draw_character(PERSON, "standing", 256).rgba[..., 3]
    rows, columns = np.nonzero(alpha > 250)
    middle = alpha[int(rows.mean()) - 20 : int(rows.mean()) + 20, int(columns.mean()) - 6 : int(columns.mean()) + 6]
    assert middle.min() == 255


def test_palettes_keep_pairings_of_garment_and_colour_apart():
    train, held_out = (
        {
            (garment.kind, garment.colour)
            for seed in range(60)
            for garment in sample_character(np.random.default_rng(seed), palette).clothes
        }
        for palette in ("train", "held_out")
    )
    assert not train & held_out
    assert len(held_out) > 20


def test_descriptions_name_the_person_and_every_garment():
    assert describe_character(PERSON) == ("young woman", "blue dress", "black boots")


def test_poses_do_not_repeat():
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(len(POSES)):
        seen.append(sample_pose(rng, seen)[0])
    assert sorted(seen) == sorted(POSES)


@pytest.mark.parametrize(("pose", "height", "wrong"), [("flying", 128, "pose"), ("standing", 8, "height")])
def test_bad_requests_are_refused(pose, height, wrong):
    with pytest.raises(SamConfigurationError, match=wrong):
        draw_character(PERSON, pose, height)


def test_garments_have_articles_unless_they_are_pairs():
    assert Garment("dress", "orange").phrase == "an orange dress"
    assert Garment("boots", "black").phrase == "black boots"


def test_people_are_described_in_many_words_that_keep_everything():
    rng = np.random.default_rng(0)
    person = sample_character(rng)
    texts = {person.phrase(rng) for _ in range(30)}
    assert len(texts) >= 4
    for text in texts:
        assert all(mentions(text, garment.words) for garment in person.clothes)
        assert mentions(text, person.person)
