"""Before and after: two images of one place from one spot, and the one object that changed between them.

Half of the samples state the difference (Spot-the-Diff, CLEVR-Change), the others ask for the edit
(Image-Editing-Request).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.forms import PhrasedForm, Texts
from lavis_sam.synthesis.forms.shared import ICONS_IN_GRID, companion, other_icons
from lavis_sam.synthesis.forms.stories import action_of
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.phrases import sentence, with_article
from lavis_sam.synthesis.protocols import SampleRequest, Source
from lavis_sam.synthesis.records import Actor, Attempt, Draft, ImagePlan, Plan, SourceObject
from lavis_sam.synthesis.seeds import pick
from lavis_sam.synthesis.stages.composite import LEAST_MOVE

_CONTEXT = {
    "difference": "{image#1}{image#2}Difference:",
    "edit": "Source Image:{image#1} Target Image:{image#2}Instruction:",
}
# How often two images are equal; asked for the difference, the answer is that there is none.
_UNCHANGED = 0.06

Made = tuple[list[SourceObject], list[Actor], list[Actor], dict[str, str]]


class Changes(PhrasedForm):
    """Two images that differ in one object."""

    def plan(self, attempt: Attempt, sources: Mapping[str, Source]) -> Plan:
        """See `Form.plan`."""
        rng = attempt.rng("plan")
        source = sources[attempt.kind]
        in_scene = KINDS[attempt.kind].layout == "scene"
        change = self._choose(attempt.kind, source, rng)
        views = 2 if change == "posed" else 1
        main = source.draw(SampleRequest(rng, views, attempt.position))
        present = [main]
        if in_scene:
            present.append(companion(sources, rng, present))
        else:
            # A cell stays free, for what moves or comes.
            present += other_icons(source, rng, present, ICONS_IN_GRID - 2)
        make: Callable[..., Made] = _CHANGES[change]
        objects, before, after, facts = make(present, sources, rng, attempt.kind)
        layout = "scene" if in_scene else "grid"
        images = (ImagePlan(layout, tuple(before)), ImagePlan(layout, tuple(after), paired_with=0))
        style = "difference" if change == "unchanged" or rng.random() < 0.5 else "edit"
        return Plan(attempt, self._form, tuple(objects), images, {"change": change, "style": style, **facts})

    def write(self, draft: Draft) -> Texts:
        """See `Form.write`."""
        plan, rng = draft.plan, draft.plan.attempt.rng("write")
        change, style = str(plan.facts["change"]), str(plan.facts["style"])
        facts = self._facts(draft, change)
        instruction = self._phrases.pick(rng, "prompt", style, {}) + _CONTEXT[style]
        key = "recoloured_whole" if change == "recoloured" and not facts["part"] else change
        answers = [sentence(text) for text in self._phrases.all(key, style, facts)]
        output = pick(rng, answers)
        required = _REQUIRED.get(change, ("label",))
        references = (output, *(answer for answer in answers if answer != output))
        return Texts(instruction, output, tuple(facts[key] for key in required if key in facts), references)

    def _choose(self, kind: str, source: Source, rng: np.random.Generator) -> str:
        if rng.random() < _UNCHANGED:
            return "unchanged"
        changes = ["removed", "added", "replaced", "moved"]
        if hasattr(source, "changed"):
            changes.append("recoloured")
            if KINDS[kind].has_poses:
                changes.append("posed")
        return pick(rng, changes)

    def _facts(self, draft: Draft, change: str) -> dict[str, str]:
        plan = draft.plan
        facts = {name: str(value) for name, value in plan.facts.items()}
        obj = plan.objects[int(plan.facts.get("object", 0))]
        label = label_of(obj)
        facts |= {"label": label, "the_object": f"the {label}", "The_object": f"The {label}"}
        facts |= {"an_object": with_article(label), "An_object": sentence(with_article(label))[:-1]}
        if "new" in plan.facts:
            facts["new_label"] = label_of(plan.objects[int(plan.facts["new"])])
            facts["new"] = with_article(facts["new_label"])
        if change == "recoloured":
            # A label names the colour that has changed, so where one word is enough, it is used.
            nouns = [plan.objects[actor.object].noun for actor in plan.images[0].actors]
            short = obj.noun if obj.noun and nouns.count(obj.noun) == 1 else label
            facts |= {"the_object": f"the {short}", "The_object": f"The {short}"}
            facts["part"] = facts["attribute"].removesuffix("colour").strip()
        if change == "moved":
            facts |= _direction(draft, int(plan.facts["object"]))
        if change == "posed":
            before, after = (image.actors[0] for image in plan.images)
            facts |= {"before": action_of(draft, before), "after": action_of(draft, after)}
        return facts


def label_of(obj: SourceObject) -> str:
    """Return a few words for an object, without an article.

    Raises:
        SamDataError: The source knows none.
    """
    if not obj.label:
        raise SamDataError(f"{obj.source} {obj.id}: has no label, and a change cannot be told without one")
    return obj.label + KINDS[obj.kind].suffix


def _stay(present: list[SourceObject], but: int | None = None) -> list[Actor]:
    return [
        Actor(index, 0, "main" if not index else "companion", place_of=index)
        for index in range(len(present))
        if index != but
    ]


def _standing(present: list[SourceObject], but: int | None = None) -> list[Actor]:
    return [replace(actor, place_of=None) for actor in _stay(present, but)]


def _unchanged(present: list[SourceObject], sources: Mapping[str, Source], rng: np.random.Generator, kind: str) -> Made:
    return present, _standing(present), _stay(present), {}


def _removed(present: list[SourceObject], sources: Mapping[str, Source], rng: np.random.Generator, kind: str) -> Made:
    which = int(rng.integers(1, len(present)))
    return present, _standing(present), _stay(present, which), {"object": str(which)}


def _added(present: list[SourceObject], sources: Mapping[str, Source], rng: np.random.Generator, kind: str) -> Made:
    which = int(rng.integers(1, len(present)))
    new = Actor(which, 0, "companion")
    return present, _standing(present, which), [*_stay(present, which), new], {"object": str(which)}


def _replaced(present: list[SourceObject], sources: Mapping[str, Source], rng: np.random.Generator, kind: str) -> Made:
    which = int(rng.integers(1, len(present)))
    other = sources[present[which].kind].draw(SampleRequest(rng, 1, unlike=tuple(present)))
    new = Actor(len(present), 0, "companion", place_of=which)
    facts = {"object": str(which), "new": str(len(present))}
    return [*present, other], _standing(present), [*_stay(present, which), new], facts


def _moved(present: list[SourceObject], sources: Mapping[str, Source], rng: np.random.Generator, kind: str) -> Made:
    which = int(rng.integers(len(present)))
    role = "companion" if which else "main"
    return present, _standing(present), [*_stay(present, which), Actor(which, 0, role)], {"object": str(which)}


def _recoloured(
    present: list[SourceObject], sources: Mapping[str, Source], rng: np.random.Generator, kind: str
) -> Made:
    changed, attribute = sources[kind].changed(present[0], rng)  # type: ignore[attr-defined]
    new = Actor(len(present), 0, "main", place_of=0)
    before, after = present[0].attributes[attribute], changed.attributes[attribute]
    facts = {"object": "0", "attribute": attribute, "before": before, "after": after}
    return [*present, changed], _standing(present), [new, *_stay(present, 0)], facts


def _posed(present: list[SourceObject], sources: Mapping[str, Source], rng: np.random.Generator, kind: str) -> Made:
    new = Actor(0, 1, "main", place_of=0)
    return present, _standing(present), [new, *_stay(present, 0)], {"object": "0"}


_CHANGES: Mapping[str, Callable[..., Made]] = {
    "unchanged": _unchanged,
    "removed": _removed,
    "added": _added,
    "replaced": _replaced,
    "moved": _moved,
    "recoloured": _recoloured,
    "posed": _posed,
}
# Facts that an answer has to mention, beyond the object's label where that is not it.
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "unchanged": (),
    "replaced": ("label", "new_label"),
    "moved": ("label", "direction"),
    "recoloured": ("after",),
    "posed": ("label", "after"),
}


def _direction(draft: Draft, which: int) -> dict[str, str]:
    """Return where an object has moved to.

    Raises:
        SamDataError: Not far enough for an answer.
    """
    middles = []
    for composite in draft.composites:
        left, top, width, height = next(layer.box for layer in composite.layers if layer.actor.object == which)
        middles.append(((left + width / 2) / composite.canvas.shape[1], (top + height / 2) / composite.canvas.shape[0]))
    along, down = middles[1][0] - middles[0][0], middles[1][1] - middles[0][1]
    if draft.plan.images[0].layout == "scene":
        down = 0.0  # on the ground, up and down are far and near, which is another matter
    if max(abs(along), abs(down)) < LEAST_MOVE:
        raise SamDataError(f"object {which} moved by {along:.2f}, {down:.2f} of the image; wanted {LEAST_MOVE}")
    if abs(along) >= abs(down):
        direction = "right" if along > 0 else "left"
        return {"direction": direction, "side": direction, "side_adverb": f"to the {direction}"}
    direction = "bottom" if down > 0 else "top"
    return {"direction": direction, "side": direction, "side_adverb": f"towards the {direction}"}
