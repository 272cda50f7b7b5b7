"""One image and something to say about it: captions and questions to pretrain a small base with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.forms import PhrasedForm, Texts
from lavis_sam.synthesis.forms.changes import label_of
from lavis_sam.synthesis.forms.shared import ICONS_IN_GRID, companion, other_icons
from lavis_sam.synthesis.forms.stories import action_of
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.phrases import Phrases, indefinite, listed, sentence, with_article
from lavis_sam.synthesis.protocols import SampleRequest, Source
from lavis_sam.synthesis.records import Actor, Attempt, Draft, ImagePlan, Plan
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
        attempt = draft.plan.attempt
        texts = ask_about(_contents(draft), self._phrases, attempt.rng("write"), KINDS[attempt.kind].questions)
        if texts is None:
            raise LookupError(f"nothing can be asked about {attempt.id}")
        return texts


@dataclass(frozen=True)
class Shown:
    """An object, and what can be said of it in one image.

    Attributes:
        label: A few words without an article; "" where nothing is known.
        name: The label as a whole noun ("acorn icon").
        noun: What it is.
        description: Its long description.
        attributes: Name -> value.
        required: Words that an answer about it has to hold.
        action: What it does in the image ("waving").
        span: Where it begins and ends, from the left, in pixels; None where it is not in the image.
    """

    label: str
    name: str
    noun: str
    description: str
    attributes: Mapping[str, str]
    required: tuple[str, ...]
    action: str
    span: tuple[int, int] | None


@dataclass(frozen=True)
class Contents:
    """What an image shows, as far as questions go.

    Attributes:
        objects: What is in it, the main object first.
        place: Where ("in a park"); "" where it shows no place.
        facts: What the main object's view alone knows (a book's title and genre).
        absent: Something that is not in it, to be asked for.
    """

    objects: tuple[Shown, ...]
    place: str
    facts: Mapping[str, str]
    absent: Shown | None = None


def ask_about(contents: Contents, phrases: Phrases, rng: np.random.Generator, questions: Sequence[str]) -> Texts | None:
    """Draw a question that can be asked about an image, and answer it.

    Args:
        questions: Names of `QUESTIONS` to choose from, some more often than others.

    Returns:
        None if none of them can be asked.
    """
    for index in rng.permutation(len(questions)):
        texts = QUESTIONS[questions[int(index)]](contents, phrases, rng)
        if texts is not None:
            return texts
    return None


def _contents(draft: Draft) -> Contents:
    plan, composite = draft.plan, draft.composites[0]
    spans = {layer.actor.object: (layer.box[0], layer.box[0] + layer.box[2]) for layer in composite.layers}

    def shown(index: int, action: str) -> Shown:
        obj = plan.objects[index]
        described = draft.descriptions[index]
        name = obj.label and label_of(obj)
        return Shown(obj.label, name, obj.noun, described, obj.attributes, obj.required_words, action, spans.get(index))

    return Contents(
        objects=tuple(shown(actor.object, action_of(draft, actor)) for actor in plan.images[0].actors),
        place=draft.backgrounds[0].place,
        facts=plan.objects[0].views[0].attributes,
        absent=shown(int(plan.facts["absent"]), "") if "absent" in plan.facts else None,
    )


Ask = Callable[[Contents, Phrases, np.random.Generator], Texts | None]


def _texts(phrases: Phrases, rng: np.random.Generator, key: str, facts: Mapping[str, str], *required: str) -> Texts:
    instruction = phrases.pick(rng, key, "instruction", facts)
    return Texts(sentence_or_question(instruction), sentence(phrases.pick(rng, key, "answer", facts)), required)


def sentence_or_question(text: str) -> str:
    """Return a text with a capital letter."""
    return text[:1].upper() + text[1:]


def _describe_scene(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    main, *others = contents.objects
    companions = [other.label for other in others]
    if main.description.endswith(".") or not all(companions):
        return None  # whole sentences of a source's captions do not make a list
    # The long description comes last, so that nobody reads the companion as a part of it.
    objects = listed([*map(indefinite, companions), main.description])
    facts = {"objects": objects, "Objects": sentence_or_question(objects), "place": contents.place}
    return _texts(phrases, rng, "scene", facts, *companions, *main.required)


def _place(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    place = contents.place
    return _texts(phrases, rng, "place", {"place": place}, place) if place else None


def _attribute(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    """Return a colour of the main object, asked without naming it."""
    main, *others = contents.objects
    colours = [name for name, value in main.attributes.items() if name.endswith("colour") and value in main.required]
    if not colours or not main.noun or main.noun in [other.noun for other in others]:
        return None
    name = pick(rng, colours)
    part = name.removesuffix("colour").strip()
    the_object = f"the {main.noun}'s {part}" if part else f"the {main.noun}"
    facts = {"attribute": "colour", "the_object": the_object, "value": main.attributes[name]}
    return _texts(phrases, rng, "attribute", facts, main.attributes[name])


def _action(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    label, action = contents.objects[0].label, contents.objects[0].action
    if not label:
        return None
    facts = {"the_object": f"the {label}", "The_object": f"The {label}", "action": action}
    return _texts(phrases, rng, "action", facts, label, action)


def _side(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    """Return what is on the left or right, where two objects clearly are."""
    placed = sorted((obj.span, index) for index, obj in enumerate(contents.objects) if obj.span is not None)
    if len(placed) != 2 or placed[0][0][1] > placed[1][0][0]:
        return None
    side = int(rng.integers(2))
    obj = contents.objects[placed[side][1]]
    if not obj.label:
        return None
    facts = {"side": ("left", "right")[side], "an_object": indefinite(obj.label)}
    return _texts(phrases, rng, "side", facts, obj.label)


def _presence(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    asked, answer = contents.objects[0], "yes_answer"
    if contents.absent is not None:
        asked, answer = contents.absent, "no_answer"
    if not asked.label:
        return None
    facts = {"an_object": with_article(asked.name), "label": asked.name}
    instruction = phrases.pick(rng, "presence", "instruction", facts)
    output = sentence(phrases.pick(rng, "presence", answer, facts))
    return Texts(instruction, output, ("yes" if answer == "yes_answer" else "no", facts["label"]))


def _count_icons(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    number = _NUMBERS[len(contents.objects)]
    return _texts(phrases, rng, "count", {"what": "icons", "number": number}, number)


def _list_icons(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
    labels = [obj.label for obj in contents.objects]
    return _texts(phrases, rng, "flat_icons", {"objects": listed([indefinite(label) for label in labels])}, *labels)


def _cover(fact: str) -> Ask:
    def ask(contents: Contents, phrases: Phrases, rng: np.random.Generator) -> Texts | None:
        wanted = ("title", "author") if fact == "cover" else (fact,)
        if not all(contents.facts.get(name) for name in wanted):
            return None
        return _texts(phrases, rng, fact, contents.facts, *(contents.facts[name] for name in wanted))

    return ask


# Name -> the function that asks it, or finds that it cannot be asked.
QUESTIONS: Mapping[str, Ask] = {
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
