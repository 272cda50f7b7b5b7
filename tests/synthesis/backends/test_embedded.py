"""The embedded backends: backgrounds, descriptions, places."""

import dataclasses

import numpy as np
import pytest

from helpers.embedded_sources import SOURCES, draw, rng
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.backends.embedded import (
    PanoramaInpainter,
    TemplateBackgrounds,
    TemplateDescriber,
)
from lavis_sam.synthesis.procedural.places import SCENES
from lavis_sam.synthesis.procedural.scenes import has_room, scene_names
from lavis_sam.synthesis.protocols import BackgroundRequest, DescribeRequest, InpaintRequest
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.records import Actor, Composite, ImagePlan, Layer, SourceObject, View
from lavis_sam.synthesis.sources.embedded import (
    ProceduralCharacters,
)
from lavis_sam.synthesis.stages.composite import scene
from lavis_sam.synthesis.stages.segment import cut_out


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
