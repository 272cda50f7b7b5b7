"""Changes: exactly what the answer says has changed."""

from collections import Counter

import numpy as np
import pytest

from helpers.forms import drafts
from lavis_sam.synthesis.quality import mentions


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
