"""The embedded sources: objects, their views, companions and changes."""

import itertools

import pytest

from helpers.embedded_sources import SOURCES, draw, rng
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.sources.embedded import (
    DrawnCovers,
    EmbeddedIcons,
    ProceduralCharacters,
    far_apart,
)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", SOURCES)
def test_an_object_is_a_function_of_the_generator(kind):
    first, again, other = (draw(SOURCES[kind](), seed, 2) for seed in (3, 3, 4))
    assert first.id == again.id != other.id
    assert all((a.image == b.image).all() for a, b in zip(first.views, again.views, strict=True))
    assert first.kind == kind
    assert first.licence
    assert len(first.views) == 2


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["characters", "furniture"])
def test_companions_cannot_be_mistaken_for_what_is_there(kind):
    source = SOURCES[kind]()
    main = draw(source, 0)
    for seed in range(1, 4):
        other = draw(source, seed, unlike=[main])
        assert other.label != main.label
        clothes = {
            word for word in main.required_words if word not in ("man", "woman", "girl", "boy", main.required_words[0])
        }
        assert not clothes & set(other.required_words) or kind == "characters"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["characters", "furniture"])
def test_a_changed_object_differs_in_one_attribute(kind):
    source = SOURCES[kind]()
    for seed in range(12):
        obj = draw(source, seed)
        try:
            changed, attribute = source.changed(obj, rng(seed))
        except SamDataError:
            assert obj.attributes["material"] in ("wood", "metal")
            continue
        assert changed.attributes[attribute] != obj.attributes[attribute]
        same = {name for name in obj.attributes if name.endswith("colour") and name != attribute}
        assert all(changed.attributes[name] == obj.attributes[name] for name in same)
        assert [view.description for view in changed.views] == [view.description for view in obj.views]
        assert changed.id != obj.id
        return
    pytest.fail("nothing could be changed")


@pytest.mark.usefixtures("small")
def test_views_show_other_poses_and_other_sides():
    person = draw(ProceduralCharacters(), 1, 3)
    assert len({view.attributes["pose"] for view in person.views}) == 3
    for count in (1, 2, 5):
        for seed in range(10):
            angles = sorted(far_apart(count, rng(seed)))
            assert len(angles) == count
            assert all(b - a > 132 / count * 0.4 - 1e-9 for a, b in itertools.pairwise(angles))


@pytest.mark.usefixtures("small")
def test_books_share_exactly_what_is_said():
    relations = set()
    for seed in range(24):
        pair = draw(DrawnCovers(), seed, 2)
        facts = [dict(view.attributes) for view in pair.views]
        assert facts[0]["title"] != facts[1]["title"]
        for name in ("author", "genre"):
            assert (facts[0][name] == facts[1][name]) is (name in pair.attributes)
        relations.add(tuple(sorted(pair.attributes)))
    assert relations == {("author",), ("genre",), ("author", "genre")}


def test_icons_run_through_the_list_before_they_repeat():
    source = EmbeddedIcons()
    names = [draw(source, 0, position=position).label for position in range(40)]
    assert len(set(names)) == 40
    assert draw(source, 0, unlike=[draw(source, 0, position=0)], position=0).label != names[0]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", SOURCES)
def test_nothing_of_training_is_in_the_evaluation_sets(kind):
    """Icons, titles and authors are apart; people and furniture wear pairings of thing and colour that are apart."""
    if kind in ("icons", "covers"):
        names = [
            {value for seed in range(24) for value in draw(SOURCES[kind](split), seed).views[0].attributes.values()}
            if kind == "covers"
            else {draw(SOURCES[kind](split), seed).label for seed in range(60)}
            for split in ("train", "held_out")
        ]
        genres = {"medical", "poetry", "gardening", "business", "children's", "travel", "cooking", "history"}
        genres |= {"fantasy", "science fiction", "romance", "mystery"}
        assert not (names[0] & names[1]) - genres
        return
    sample = [SOURCES[kind](split) for split in ("train", "held_out")]
    required_words = [{pair for seed in range(4) for pair in _pairings(draw(source, seed))} for source in sample]
    assert not required_words[0] & required_words[1]


def _pairings(obj):
    """("dress", "blue"): what a description says together."""
    if obj.kind == "furniture":
        return [(obj.attributes["kind"], obj.attributes["colour"])]
    return [(garment.kind, garment.colour) for garment in obj.recipe.clothes]
