"""Icons with their names, colours by split, and phrases that keep every attribute."""

import numpy as np
import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.characters import Garment, sample_character
from lavis_sam.synthesis.procedural.colours import COLOURS, choices
from lavis_sam.synthesis.procedural.icons import icon_meaning, icon_names, load_icon
from lavis_sam.synthesis.procedural.places import SCENES
from lavis_sam.synthesis.procedural.texts import background_phrase, character_phrase, garment_phrase, place_phrase
from lavis_sam.synthesis.quality import mentions


@pytest.mark.parametrize("name", icon_names("all"))
def test_every_icon_is_there_and_means_something(name):
    rgba = load_icon(name)
    assert rgba.shape == (256, 256, 4)
    assert 0.05 < (rgba[..., 3] > 128).mean() < 0.95
    assert icon_meaning(name)


def test_icons_cannot_be_spoilt_and_unknown_ones_are_told():
    with pytest.raises(ValueError, match="read-only"):
        load_icon(icon_names()[0])[0, 0] = 0
    with pytest.raises(SamConfigurationError, match="unicorn horn"):
        load_icon("unicorn horn")


def test_each_split_has_colours_for_everything():
    for thing in ("dress", "sofa", "boots", "umbrella"):
        train, held_out = (choices(thing, tuple(COLOURS), split) for split in ("train", "held_out"))
        assert train
        assert held_out
        assert not set(train) & set(held_out)
    with pytest.raises(SamConfigurationError, match="split"):
        choices("dress", ("red",), "trian")


def test_garments_have_articles_unless_they_are_pairs():
    assert garment_phrase(Garment("dress", "orange")) == "an orange dress"
    assert garment_phrase(Garment("boots", "black")) == "black boots"


def test_people_are_described_in_many_words_that_keep_everything():
    rng = np.random.default_rng(0)
    person = sample_character(rng)
    texts = {character_phrase(rng, person) for _ in range(30)}
    assert len(texts) >= 4
    for text in texts:
        assert all(mentions(text, garment.words) for garment in person.clothes)
        assert mentions(text, person.person)


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_has_words(scene):
    rng = np.random.default_rng(0)
    places = {place_phrase(rng, scene) for _ in range(30)}
    assert len(places) >= 3
    for place in places:
        assert mentions(background_phrase(rng, place, "walking"), place)
        assert mentions(background_phrase(rng, place), place)
