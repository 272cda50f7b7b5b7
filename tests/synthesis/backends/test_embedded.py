"""The embedded backends behind the protocols: what is said is drawn, and what is drawn is found again."""

import dataclasses
import itertools

import numpy as np
import pytest

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.backends.embedded import (
    PanoramaInpainter,
    TemplateBackgrounds,
    TemplateDescriber,
    U2NetpSegmenter,
)
from lavis_sam.synthesis.procedural.places import SCENES
from lavis_sam.synthesis.procedural.scenes import has_room, scene_names
from lavis_sam.synthesis.protocols import BackgroundRequest, DescribeRequest, InpaintRequest, SampleRequest
from lavis_sam.synthesis.quality import mask_scores, mentions
from lavis_sam.synthesis.records import Actor, Composite, ImagePlan, Layer, SourceObject, View
from lavis_sam.synthesis.sources import embedded
from lavis_sam.synthesis.sources.embedded import (
    DrawnCovers,
    EmbeddedIcons,
    ProceduralCharacters,
    ProceduralFurniture,
    far_apart,
)
from lavis_sam.synthesis.stages.composite import scene
from lavis_sam.synthesis.stages.segment import cut_out


def rng(seed=0):
    return np.random.default_rng(seed)


def draw(source, seed=0, views=1, unlike=(), position=None):
    return source.draw(SampleRequest(rng(seed), views, position, tuple(unlike)))


@pytest.fixture
def small(monkeypatch):
    """Tiny drawings, where only the facts matter."""
    monkeypatch.setattr(embedded, "_DRAWN", 40)
    monkeypatch.setattr(embedded, "_COVER_PIXELS", 48)


SOURCES = {
    "characters": ProceduralCharacters,
    "furniture": ProceduralFurniture,
    "icons": EmbeddedIcons,
    "covers": DrawnCovers,
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", SOURCES)
def test_an_object_is_a_function_of_the_generator(kind):
    first, again, other = (draw(SOURCES[kind](), seed, 2) for seed in (3, 3, 4))
    assert first.id == again.id != other.id
    assert all((a.image == b.image).all() for a, b in zip(first.views, again.views, strict=True))
    assert first.kind == kind
    assert first.licence
    assert len(first.views) == 2


@pytest.mark.parametrize("kind", ["characters", "furniture"])
def test_the_segmenter_finds_what_was_drawn(kind):
    """U2-Netp against the exact masks; the mean over more of them is an integration test's."""
    views = [draw(SOURCES[kind](), seed).views[0] for seed in range(3)]
    masks = U2NetpSegmenter().segment([view.image for view in views])
    scores = [mask_scores(mask.alpha, view.alpha) for mask, view in zip(masks, views, strict=True)]
    assert np.mean([score["mask.true_iou"] for score in scores]) > 0.93
    assert all(score["mask.border"] == 0 for score in scores)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["characters", "furniture"])
def test_u2netp_masks_overlap_the_exact_ones_by_95_percent_on_average(kind):
    overlaps = []
    for seed in range(40):
        view = draw(SOURCES[kind](), seed).views[0]
        (mask,) = U2NetpSegmenter().segment([view.image])
        overlaps.append(mask_scores(mask.alpha, view.alpha)["mask.true_iou"])
    assert np.mean(overlaps) >= 0.95


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


def test_a_view_has_room_around_the_object_and_knows_where_it_stands():
    view = draw(ProceduralCharacters(), 2).views[0]
    edges = np.concatenate([view.alpha[0], view.alpha[-1], view.alpha[:, 0], view.alpha[:, -1]])
    assert edges.max() == 0
    rows, columns = np.nonzero(view.alpha > 0.5)
    points = np.array([point for outline in view.contacts for point in outline])
    assert abs(points[:, 1].max() - rows.max()) < 0.06 * np.ptp(rows)
    assert columns.min() - 5 <= points[:, 0].min()
    assert points[:, 0].max() <= columns.max() + 5
    segment = cut_out(view.image, view.alpha, view.contacts, exact=True)
    moved = np.array([point for outline in segment.contacts for point in outline])
    assert np.allclose(points - moved, points[0] - moved[0])
    assert 1.0 < view.height < 2.2


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


def test_scenes_of_the_splits_are_apart():
    found = [
        {place.scene for place in TemplateBackgrounds(split).write([request(seed) for seed in range(60)])}
        for split in ("train", "held_out")
    ]
    assert not found[0] & found[1]
    assert found[0] == set(scene_names("train"))
    assert len(found[1]) >= 5, "a group has five images in five places"


def request(seed=0, **changes):
    obj = SourceObject("x", "furniture", "s", "l", {}, 1.0, ())
    return BackgroundRequest(rng(seed), (obj,), **changes)


def test_backgrounds_avoid_and_obey():
    writer = TemplateBackgrounds()
    for seed in range(20):
        (place,) = writer.write([request(seed, avoid=("forest", "city"))])
        assert place.scene not in ("forest", "city")
        assert place.place
        assert place.text
    (place,) = writer.write([request(scene="forest", pose="walking")])
    assert place.scene == "forest"
    assert mentions(place.text, "walking") or mentions(place.text, "forest")


@pytest.mark.parametrize("scene", SCENES)
def test_template_backgrounds_have_several_words_for_every_scene(scene):
    writer = TemplateBackgrounds()
    moving, still = (
        [writer.write([request(seed, scene=scene, pose=pose)])[0] for seed in range(30)] for pose in ("walking", "")
    )
    assert len({place.place for place in moving}) >= 3
    for background in moving + still:
        assert mentions(background.text, background.place)


def test_a_place_is_chosen_with_room_for_what_stands_there():
    """Feet close below the horizon would be in a wall of most rooms."""
    canvas, alpha = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.float32)
    layer = Layer(Actor(0, 0, "main"), np.zeros((30, 10, 4), np.uint8), (45, 20, 10, 30), alpha, ())
    far = Composite(canvas, alpha, canvas, (layer,), horizon=0.4, camera_height=1.6)
    roomy = [name for name in scene_names("train") if has_room(rng(1), name, [(-0.05, 0.1), (0.05, 0.1)])]
    assert 0 < len(roomy) < len(scene_names("train"))
    places = {TemplateBackgrounds().write([request(seed, same_scene=(far,))])[0].scene for seed in range(40)}
    assert len(places) > 2
    assert places <= set(roomy)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["characters", "furniture", "icons"])
def test_descriptions_mention_every_attribute_in_many_words(kind):
    texts = set()
    for seed in range(12):
        obj = draw(SOURCES[kind](), seed % 3)
        (text,) = TemplateDescriber().describe([DescribeRequest(rng(seed), obj, obj.views)])
        assert all(mentions(text, word) for word in obj.required_words), (text, obj.required_words)
        texts.add(text)
    assert len(texts) >= 6


def test_sources_with_captions_and_labels_are_described_by_them():
    bare = SourceObject("x", "furniture", "s", "l", {}, 1.0, ())
    for obj, text in (
        (dataclasses.replace(bare, caption="A chair."), "A chair."),
        (dataclasses.replace(bare, label="oak chair"), "an oak chair"),
    ):
        assert TemplateDescriber().describe([DescribeRequest(rng(), obj, ())]) == [text]
    with pytest.raises(SamDataError, match=r"use a backend for stages\.describe"):
        TemplateDescriber().describe([DescribeRequest(rng(), bare, ())])


def composite(seed=0, size=128, paired=None):
    view = draw(ProceduralCharacters(), seed).views[0]
    segment = cut_out(view.image, view.alpha, view.contacts, exact=True)
    plan = ImagePlan("scene", (Actor(0, 0, "main"),))
    return scene(plan, [segment], [view.height], rng(seed), size, 127, paired)


def paint(made, same_scene, seed=5):
    (place,) = TemplateBackgrounds().write([request(scene="park")])
    (image,) = PanoramaInpainter().inpaint([InpaintRequest(rng(seed), made, place, same_scene)])
    return image


def test_the_place_is_painted_around_an_untouched_object_with_a_shadow_at_its_feet():
    made = composite()
    image = paint(made, (made,))
    opaque = made.alpha >= 0.999
    assert abs(image[opaque].astype(int) - made.colour[opaque]).max() <= 1
    outside = made.alpha == 0
    assert image[outside].std() > 10
    empty = dataclasses.replace(made, layers=())
    ground = paint(empty, (made,))
    darker = (ground[outside].astype(int) - image[outside]).max(axis=1) > 15
    assert darker.any()


def test_two_images_of_one_place_differ_near_the_objects_only():
    first = composite(0)
    second = composite(1, paired=first)
    images = [paint(made, (first, second)) for made in (first, second)]
    sky = slice(0, 8)
    assert (images[0][sky][first.alpha[sky] + second.alpha[sky] == 0]).shape[0] > 0
    free = (first.alpha + second.alpha == 0)[sky]
    assert (images[0][sky][free] == images[1][sky][free]).all()


def test_a_view_needs_no_pixels_to_be_described():
    assert View(np.zeros((4, 4, 3), np.uint8), None, "x", "x").height is None
