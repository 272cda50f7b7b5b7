"""Captions: answers are true of their image."""

import re
from collections import Counter

import pytest

from helpers.forms import drafts
from lavis_sam.synthesis.quality import mentions


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
