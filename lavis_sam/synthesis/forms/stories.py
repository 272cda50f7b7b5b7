"""Three-panel stories in AESOP's form: who is in the last panel can only be told by matching looks across the panels.

Two characters get names in the first two panels and their captions; the last panel shows one of them, or both, and the
answer names them.
"""

from collections.abc import Mapping

import numpy as np

from lavis_sam.synthesis.forms import PhrasedForm, Texts
from lavis_sam.synthesis.protocols import SampleRequest, Source
from lavis_sam.synthesis.records import DEFAULT_ACTION, Actor, Attempt, Draft, ImagePlan, Plan, SourceObject
from lavis_sam.synthesis.seeds import pick

# Which of the two characters are in each panel. In all of them the first two panels tell both names apart.
_PATTERNS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((0,), (1,), (0,)),
    ((0,), (1,), (1,)),
    ((0,), (0, 1), (1,)),
    ((0,), (0, 1), (0,)),
    ((0,), (1,), (0, 1)),
)
_CAST = 2


class Stories(PhrasedForm):
    """Two named characters in three panels."""

    def plan(self, attempt: Attempt, sources: Mapping[str, Source]) -> Plan:
        """See `Form.plan`."""
        rng = attempt.rng("plan")
        pattern = pick(rng, _PATTERNS)
        cast: list[SourceObject] = []
        for who in range(_CAST):
            views = sum(who in panel for panel in pattern)
            cast.append(
                sources[attempt.kind].draw(SampleRequest(rng, views, None if who else attempt.position, tuple(cast)))
            )
        names = self._names(cast, rng)
        shown = [0] * _CAST
        images = []
        for panel in pattern:
            actors = []
            for who in panel:
                actors.append(Actor(who, shown[who] % len(cast[who].views), "main", names[who]))
                shown[who] += 1
            images.append(ImagePlan("scene", tuple(actors)))
        return Plan(attempt, self._form, tuple(cast), tuple(images), {"names": names})

    def write(self, draft: Draft) -> Texts:
        """See `Form.write`."""
        rng = draft.plan.attempt.rng("write")
        captions = [self._caption(draft, index, rng) for index in range(self._count - 1)]
        prompt = self._phrases.pick(rng, "story", "instruction", {})
        context = "".join(f"{{image#{number}}}Caption#{number}:{text}" for number, text in enumerate(captions, start=1))
        instruction = f"{prompt}{context}{{image#{self._count}}}Caption#{self._count}:"
        last = self._count - 1
        facts = self._facts(draft, last)
        purpose = "last_two" if "left" in facts else "last"
        endings = self._phrases.all("story", purpose, facts)
        output = pick(rng, endings)
        wanted = ("left", "right", "left_action", "right_action") if "left" in facts else ("name", "action")
        references = (output, *(ending for ending in endings if ending != output))
        return Texts(instruction, output, tuple(facts[key] for key in wanted), references)

    def _names(self, cast: list[SourceObject], rng: np.random.Generator) -> list[str]:
        """Return a different name for each, fitting what is known of the person."""
        names: list[str] = []
        for person in cast:
            known = self._phrases.entries["names"]
            fitting = known.get(person.attributes.get("person", ""), known["person"])
            free = [name for name in fitting if name not in names]
            names.append(pick(rng, free))
        return names

    def _caption(self, draft: Draft, index: int, rng: np.random.Generator) -> str:
        """Return the text of one of the earlier panels; it names everybody who is new."""
        actors = draft.plan.images[index].actors
        facts = self._facts(draft, index)
        if len(actors) > 1:
            return self._phrases.pick(rng, "story", "meet", facts)
        before = [actor.object for image in draft.plan.images[:index] for actor in image.actors]
        purpose = "first" if not index else "again" if actors[0].object in before else "next"
        return self._phrases.pick(rng, "story", purpose, facts)

    def _facts(self, draft: Draft, index: int) -> dict[str, str]:
        """Return names, actions and place of a panel; with two people also who stands on which side."""
        image, background = draft.plan.images[index], draft.backgrounds[index]
        actions = [action_of(draft, actor) for actor in image.actors]
        names = [actor.name for actor in image.actors]
        facts = {"name": names[0], "action": actions[0], "place": background.place or "there"}
        if len(names) > 1:
            facts["other"] = names[1]
            middles = {layer.actor.name: layer.box[0] + layer.box[2] / 2 for layer in draft.composites[index].layers}
            left, right = sorted(range(2), key=lambda who: middles[names[who]])
            facts |= {"left": names[left], "left_action": actions[left]}
            facts |= {"right": names[right], "right_action": actions[right]}
        return facts


def action_of(draft: Draft, actor: Actor) -> str:
    """Return what a character does in a view: "waving"."""
    return draft.plan.objects[actor.object].views[actor.view].attributes.get("pose", DEFAULT_ACTION)
