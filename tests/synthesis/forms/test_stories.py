"""Stories: names belong to looks, and sides are those of the image."""

import re

from helpers.forms import drafts
from lavis_sam.synthesis.quality import mentions


def test_stories_name_who_can_be_recognised():
    """The last panel's names belong to looks that an earlier panel with a caption has shown."""
    patterns = set()
    for draft in drafts("stories", "characters"):
        match = re.fullmatch(
            r"(.+?)\{image#1\}Caption#1:(.+?)\{image#2\}Caption#2:(.+?)\{image#3\}Caption#3:", draft.instruction
        )
        assert match
        captions = match.groups()[1:]
        names = draft.plan.facts["names"]
        for caption, image in zip(captions, draft.plan.images, strict=False):
            present = {actor.name for actor in image.actors}
            assert {name for name in names if mentions(caption, name)} == present
        last = [actor.name for actor in draft.plan.images[2].actors]
        assert {name for name in names if mentions(draft.output, name)} == set(last)
        known = set().union(*({a.name for a in image.actors} for image in draft.plan.images[:2]))
        assert set(last) <= known == set(names)
        assert draft.references[0] == draft.output
        assert len(set(draft.references)) == len(draft.references) > 1
        patterns.add(tuple(len(image.actors) for image in draft.plan.images))
    assert patterns == {(1, 1, 1), (1, 2, 1), (1, 1, 2)}


def test_a_name_keeps_its_looks():
    for draft in drafts("stories", "characters", 24):
        by_name = {}
        for image in draft.plan.images:
            for actor in image.actors:
                assert by_name.setdefault(actor.name, actor.object) == actor.object
        assert len(set(by_name)) == 2
        assert draft.plan.objects[0].label != draft.plan.objects[1].label


def test_sides_are_those_of_the_image():
    checked = 0
    for draft in drafts("stories", "characters"):
        if len(draft.plan.images[2].actors) == 2:
            layers = sorted(draft.composites[2].layers, key=lambda layer: layer.box[0] + layer.box[2] / 2)
            words = draft.output.split()
            assert words.index(layers[0].actor.name) < words.index(layers[1].actor.name)
            checked += 1
    assert checked > 3
