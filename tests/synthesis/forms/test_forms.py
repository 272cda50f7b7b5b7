"""What the forms plan and write, on fake sources: every sample's text is true of its images."""

import re
from collections import Counter

import numpy as np
import pytest

from helpers.synthesis import config
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.records import Attempt, Draft, Rejection
from lavis_sam.synthesis.registry import PipelineBuilder

TRIES = 60


def drafts(form, kind, count=TRIES, **changes):
    """Finished drafts of one form and kind."""
    sources = {"characters": {"backend": "helpers.synthesis:FakeChanging"}}
    plain = config(form=form, kinds={kind: 1}, sources=sources, **changes)
    pipeline = PipelineBuilder(SynthesisSettings.from_config(plain)).pipeline()
    made = pipeline.run([Attempt(0, slot, 0, kind) for slot in range(count)])
    finished = [draft for draft in made if isinstance(draft, Draft)]
    assert len(finished) >= 0.7 * count, Counter(m.limit for m in made if isinstance(m, Rejection)).most_common(3)
    return finished


def shown(draft, image):
    return {draft.plan.objects[actor.object].id for actor in draft.plan.images[image].actors}


def looks(draft, image):
    return [draft.plan.objects[layer.actor.object].label for layer in draft.composites[image].layers]


@pytest.mark.parametrize(("form", "count"), [("pairs", 2), ("groups", 5)])
@pytest.mark.parametrize("kind", ["characters", "furniture", "icons"])
def test_one_object_is_shared_and_every_other_one_is_not(form, count, kind):
    for draft in drafts(form, kind, 24):
        assert len(draft.images) == count
        main = draft.plan.objects[0]
        everywhere = set.intersection(*(set(looks(draft, k)) for k in range(count)))
        assert everywhere == {main.label}
        if form == "pairs":
            assert set(looks(draft, 0)) & set(looks(draft, 1)) == {main.label}
        for word in main.required_words:
            assert mentions(draft.output, word)
        assert draft.output.endswith(".")


@pytest.mark.parametrize("form", ["pairs", "groups"])
def test_answers_about_books_name_what_they_share(form):
    for draft in drafts(form, "covers", 24):
        assert draft.plan.images[0].layout == "flat"
        facts = draft.plan.objects[0].attributes
        assert mentions(draft.output, facts["author"])
        assert mentions(draft.output, facts["genre"])


def test_the_shared_object_is_seen_from_another_side():
    for draft in drafts("pairs", "characters", 12):
        assert [image.actors[0].view for image in draft.plan.images] == [0, 1]


@pytest.mark.parametrize("form", ["pairs", "groups", "changes", "captions"])
def test_texts_are_diverse(form):
    made = drafts(form, "icons")
    assert len({draft.instruction for draft in made}) >= 8
    assert len({draft.output for draft in made}) >= 0.5 * len(made)


# ---------------------------------------------------------------------------- stories


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


# ---------------------------------------------------------------------------- changes


@pytest.mark.parametrize("kind", ["characters", "icons"])
def test_exactly_what_the_answer_says_has_changed(kind):
    seen = Counter()
    for draft in drafts("changes", kind, 90):
        change, facts = draft.plan.facts["change"], draft.plan.facts
        before, after = ({layer.actor.object: layer for layer in composite.layers} for composite in draft.composites)
        seen[change, facts["style"]] += 1
        label = draft.plan.objects[int(facts.get("object", 0))].label
        gone, new = set(before) - set(after), set(after) - set(before)
        moved = {obj for obj in set(before) & set(after) if before[obj].box != after[obj].box}
        posed = {obj for obj in set(before) & set(after) if before[obj].actor.view != after[obj].actor.view}
        one = {int(facts.get("object", 0))}
        expected = {
            "unchanged": (set(), set(), set()),
            "removed": (one, set(), set()),
            "added": (set(), one, set()),
            "replaced": (one, {int(facts.get("new", -1))}, set()),
            "moved": (set(), set(), one),
            "recoloured": (one, {len(draft.plan.objects) - 1}, set()),
            "posed": (set(), set(), one if moved else set()),
        }[change]
        assert (gone, new, moved) == expected, (change, draft.output)
        assert posed == (one if change == "posed" else set())
        if change == "recoloured":
            assert mentions(draft.output, facts["after"])
        elif change != "unchanged":
            assert mentions(draft.output, label)
        assert len(draft.references) >= 2
        _check_context(draft, facts["style"])
    changes = {change for change, _ in seen}
    assert changes >= {"unchanged", "removed", "added", "replaced", "moved"}
    assert (changes >= {"recoloured", "posed"}) is (kind == "characters")
    assert {style for _, style in seen} == {"difference", "edit"}


def _check_context(draft, style):
    context = {
        "difference": "{image#1}{image#2}Difference:",
        "edit": "Source Image:{image#1} Target Image:{image#2}Instruction:",
    }[style]
    assert draft.instruction.endswith(context)


def test_what_did_not_change_has_the_same_pixels():
    for draft in drafts("changes", "characters", 40):
        outside = np.ones(draft.images[0].shape[:2], bool)
        for composite in draft.composites:
            for layer in composite.layers:
                outside &= layer.alpha == 0
        assert (draft.images[0][outside] == draft.images[1][outside]).all()
        if draft.plan.facts["change"] == "unchanged":
            assert (draft.images[0] == draft.images[1]).all()


def test_directions_are_right():
    checked = 0
    for draft in drafts("changes", "characters", 90):
        if draft.plan.facts["change"] == "moved":
            which = int(draft.plan.facts["object"])
            places = [next(x.box for x in c.layers if x.actor.object == which)[0] for c in draft.composites]
            assert mentions(draft.output, "right" if places[1] > places[0] else "left")
            checked += 1
    assert checked > 3


# ---------------------------------------------------------------------------- captions


@pytest.mark.parametrize("kind", ["characters", "furniture", "icons", "covers"])
def test_answers_are_true_of_the_image(kind):
    asked = Counter()
    for draft in drafts("captions", kind, 90, quality={"text.words": {"min": 1}}):
        assert len(draft.images) == 1
        objects = [draft.plan.objects[actor.object] for actor in draft.plan.images[0].actors]
        text = draft.instruction
        if draft.output.startswith(("Yes", "No")):
            present = any(mentions(text, obj.label) for obj in objects)
            assert draft.output.startswith("Yes") is present
            asked["presence"] += 1
        elif re.search(r"[Hh]ow many|Count", text):
            assert mentions(draft.output, ("one", "two", "three", "four", "five", "six")[len(objects) - 1])
            asked["count"] += 1
        elif mentions(text, "left") or mentions(text, "right"):
            ordered = sorted(draft.composites[0].layers, key=lambda layer: layer.box[0])
            layer = ordered[0] if mentions(text, "left") else ordered[-1]
            assert mentions(draft.output, draft.plan.objects[layer.actor.object].label)
            asked["side"] += 1
        elif kind == "icons":
            assert all(mentions(draft.output, obj.label) for obj in objects)
            asked["list"] += 1
        elif kind == "covers":
            assert any(mentions(draft.output, value) for value in objects[0].views[0].attributes.values())
            asked["cover"] += 1
        else:
            asked["other"] += 1
    wanted = {"icons": {"presence", "count", "list"}, "covers": {"cover"}}
    assert set(asked) >= wanted.get(kind, {"presence", "other", "side"})
