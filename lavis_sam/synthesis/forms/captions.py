"""One image and something to say about it: captions and questions to pretrain a small base with."""

from collections.abc import Callable, Mapping

import numpy as np

from lavis_sam.synthesis.forms import PhrasedForm, Texts
from lavis_sam.synthesis.forms.changes import label_of
from lavis_sam.synthesis.forms.shared import ICONS_IN_GRID, companion, other_icons
from lavis_sam.synthesis.forms.stories import action_of
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.phrases import Phrases, indefinite, listed, sentence, with_article
from lavis_sam.synthesis.protocols import SampleRequest, Source
from lavis_sam.synthesis.records import Actor, Attempt, Draft, ImagePlan, Plan, SourceObject
from lavis_sam.synthesis.seeds import pick

# How often a scene holds a second object.
_ACCOMPANIED = 0.6
# How often a question about presence names something that is not there.
_ABSENT = 0.5
_FEWEST_ICONS = 2
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


class Captions(PhrasedForm):
    """One image; what is asked about it is drawn from what can be asked."""

    def plan(self, attempt: Attempt, sources: Mapping[str, Source]) -> Plan:
        """See `Form.plan`; the last object may be one that is not in the image, to be asked for."""
        rng = attempt.rng("plan")
        source, layout = sources[attempt.kind], KINDS[attempt.kind].layout
        objects = [source.draw(SampleRequest(rng, 1, attempt.position))]
        if layout == "scene" and rng.random() < _ACCOMPANIED:
            objects.append(companion(sources, rng, objects))
        if layout == "grid":
            objects += other_icons(source, rng, objects, int(rng.integers(_FEWEST_ICONS, ICONS_IN_GRID + 1)) - 1)
        actors = [Actor(index, 0, "companion" if index else "main") for index in range(len(objects))]
        facts: dict[str, str] = {}
        if layout != "flat" and rng.random() < _ABSENT:
            objects.append(source.draw(SampleRequest(rng, 1, unlike=tuple(objects))))
            facts["absent"] = str(len(objects) - 1)
        return Plan(attempt, self._form, tuple(objects), (ImagePlan(layout, tuple(actors)),), facts)

    def write(self, draft: Draft) -> Texts:
        """See `Form.write`."""
        rng = draft.plan.attempt.rng("write")
        askable = [_QUESTIONS[name] for name in KINDS[draft.plan.attempt.kind].questions]
        tries = [askable[int(index)] for index in rng.permutation(len(askable))]
        for ask in tries:
            texts = ask(draft, self._phrases, rng)
            if texts is not None:
                return texts
        raise LookupError(f"nothing can be asked about {draft.plan.attempt.id}")


Ask = Callable[[Draft, Phrases, np.random.Generator], Texts | None]


def _texts(phrases: Phrases, rng: np.random.Generator, key: str, facts: Mapping[str, str], *required: str) -> Texts:
    instruction = phrases.pick(rng, key, "instruction", facts)
    return Texts(sentence_or_question(instruction), sentence(phrases.pick(rng, key, "answer", facts)), required)


def sentence_or_question(text: str) -> str:
    """A text with a capital letter."""
    return text[:1].upper() + text[1:]


def _describe_scene(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    main, *others = draft.plan.images[0].actors
    companions = [draft.plan.objects[actor.object].label for actor in others]
    if draft.descriptions[main.object].endswith(".") or not all(companions):
        return None  # whole sentences of a source's captions do not make a list
    # The long description comes last, so that nobody reads the companion as a part of it.
    objects = listed([*map(indefinite, companions), draft.descriptions[main.object]])
    place = draft.backgrounds[0].place
    facts = {"objects": objects, "Objects": sentence_or_question(objects), "place": place}
    return _texts(phrases, rng, "scene", facts, *companions, *draft.plan.objects[main.object].required_words)


def _place(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    place = draft.backgrounds[0].place
    return _texts(phrases, rng, "place", {"place": place}, place) if place else None


def _attribute(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    """A colour of the main object, asked without naming it."""
    main = draft.plan.objects[0]
    others = [draft.plan.objects[actor.object] for actor in draft.plan.images[0].actors[1:]]
    colours = [
        name for name in main.attributes if name.endswith("colour") and main.attributes[name] in main.required_words
    ]
    if not colours or not main.noun or main.noun in [other.noun for other in others]:
        return None
    name = pick(rng, colours)
    part = name.removesuffix("colour").strip()
    the_object = f"the {main.noun}'s {part}" if part else f"the {main.noun}"
    facts = {"attribute": "colour", "the_object": the_object, "value": main.attributes[name]}
    return _texts(phrases, rng, "attribute", facts, main.attributes[name])


def _action(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    actor = draft.plan.images[0].actors[0]
    label = draft.plan.objects[actor.object].label
    if not label:
        return None
    facts = {"the_object": f"the {label}", "The_object": f"The {label}", "action": action_of(draft, actor)}
    return _texts(phrases, rng, "action", facts, label, facts["action"])


def _side(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    """What is on the left or right, where two objects clearly are."""
    composite = draft.composites[0]
    if len(composite.layers) != 2:
        return None
    spans = sorted((layer.box[0], layer.box[0] + layer.box[2], layer.actor.object) for layer in composite.layers)
    if spans[0][1] > spans[1][0]:
        return None
    side = int(rng.integers(2))
    obj = draft.plan.objects[spans[side][2]]
    if not obj.label:
        return None
    facts = {"side": ("left", "right")[side], "an_object": indefinite(obj.label)}
    return _texts(phrases, rng, "side", facts, obj.label)


def _presence(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    asked, answer = 0, "yes_answer"
    if "absent" in draft.plan.facts:
        asked, answer = int(draft.plan.facts["absent"]), "no_answer"
    obj: SourceObject = draft.plan.objects[asked]
    if not obj.label:
        return None
    facts = {"an_object": with_article(label_of(obj)), "label": label_of(obj)}
    instruction = phrases.pick(rng, "presence", "instruction", facts)
    output = sentence(phrases.pick(rng, "presence", answer, facts))
    return Texts(instruction, output, ("yes" if answer == "yes_answer" else "no", facts["label"]))


def _count_icons(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    number = _NUMBERS[len(draft.plan.images[0].actors)]
    return _texts(phrases, rng, "count", {"what": "icons", "number": number}, number)


def _list_icons(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    labels = [draft.plan.objects[actor.object].label for actor in draft.plan.images[0].actors]
    return _texts(phrases, rng, "flat_icons", {"objects": listed([indefinite(label) for label in labels])}, *labels)


def _cover(fact: str) -> Ask:
    def ask(draft: Draft, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
        facts = draft.plan.objects[0].views[0].attributes
        wanted = ("title", "author") if fact == "cover" else (fact,)
        if not all(facts.get(name) for name in wanted):
            return None
        return _texts(phrases, rng, fact, facts, *(facts[name] for name in wanted))

    return ask


_QUESTIONS: Mapping[str, Ask] = {
    "scene": _describe_scene,
    "place": _place,
    "attribute": _attribute,
    "action": _action,
    "side": _side,
    "presence": _presence,
    "list": _list_icons,
    "count": _count_icons,
    "genre": _cover("genre"),
    "author": _cover("author"),
    "cover": _cover("cover"),
}
