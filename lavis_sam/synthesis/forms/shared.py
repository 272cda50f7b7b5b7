"""Several images that share one object: MmLINK's pairs (paper, section 3) and groups of five for group captioning.

Characters and furniture stand in a different place in each image, seen from another side and beside another
companion; icons are one of six in a grid; covers are books of one author or genre.
"""

from collections.abc import Mapping

import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.forms import PhrasedForm, Texts
from lavis_sam.synthesis.kinds import KINDS, scene_kinds
from lavis_sam.synthesis.phrases import sentence
from lavis_sam.synthesis.protocols import SampleRequest, Source
from lavis_sam.synthesis.records import Actor, Attempt, Draft, ImagePlan, Plan, SourceObject

ICONS_IN_GRID = 6
# How often a companion is of the main object's own kind: then its looks alone tell the two apart.
_SAME_KIND = 0.5


class SharedObject(PhrasedForm):
    """One main object in every image."""

    def plan(self, attempt: Attempt, sources: Mapping[str, Source]) -> Plan:
        """See `Form.plan`."""
        rng = attempt.rng("plan")
        layout = KINDS[attempt.kind].layout
        main = sources[attempt.kind].draw(SampleRequest(rng, self._count, attempt.position))
        objects, images = [main], []
        for index in range(self._count):
            actors = [Actor(0, index % len(main.views), "main")]
            if layout == "scene":
                objects.append(companion(sources, rng, objects))
                actors.append(Actor(len(objects) - 1, 0, "companion"))
            elif layout == "grid":
                fillers = other_icons(sources[attempt.kind], rng, objects, ICONS_IN_GRID - 1)
                first = len(objects)
                actors += [Actor(first + offset, 0, "companion") for offset in range(len(fillers))]
                objects += fillers
            images.append(ImagePlan(layout, tuple(actors)))
        return Plan(attempt, self._form, tuple(objects), tuple(images))

    def write(self, draft: Draft) -> Texts:
        """See `Form.write`."""
        attempt, main = draft.plan.attempt, draft.plan.objects[0]
        kind = KINDS[attempt.kind]
        key = kind.phrases + (relation_of(main) if kind.layout == "flat" else "")
        rng = attempt.rng("write")
        facts = {**main.attributes, "description": draft.descriptions[0]}
        instruction = self._phrases.pick(rng, key, "instruction", facts)
        # A source's own caption may be a whole sentence, which no phrase can go around.
        purpose = "caption" if draft.descriptions[0].endswith(".") else "answer"
        output = self._phrases.pick(rng, key, purpose, facts)
        return Texts(instruction, sentence(output), main.required_words)


def companion(sources: Mapping[str, Source], rng: np.random.Generator, present: list[SourceObject]) -> SourceObject:
    """Return something to stand beside the main object, and like nothing that is there already.

    Args:
        sources: Kind -> source; companions come from all scene kinds.
        present: The sample's objects so far, the main one first.

    Raises:
        SamDataError: No scene source gives anything different.
    """
    own = present[0].kind
    kinds = [kind for kind in scene_kinds() if kind in sources]
    # The other kinds follow, for a source in which nothing differs from what is there.
    if own in kinds:
        same_kind_first = rng.random() < _SAME_KIND
        kinds.sort(key=lambda kind: (kind == own) is not same_kind_first)
    problem = SamDataError(f"no source of {' or '.join(scene_kinds())} to draw a companion from")
    for kind in kinds:
        try:
            return sources[kind].draw(SampleRequest(rng, 1, unlike=tuple(present)))
        except SamDataError as error:
            problem = error
    raise problem


def other_icons(
    source: Source, rng: np.random.Generator, present: list[SourceObject], count: int
) -> list[SourceObject]:
    """Draw icons besides those that are there; where a small set runs out, those of images further back may return."""
    found: list[SourceObject] = []
    for _ in range(count):
        for avoided in (present, [present[0], *present[-count:]]):
            try:
                found.append(source.draw(SampleRequest(rng, 1, unlike=(*avoided, *found))))
                break
            except SamDataError:
                continue
        else:
            raise SamDataError(f"{source.name}: too few icons for an image of {count + 1}")
    return found


def relation_of(books: SourceObject) -> str:
    """Return what two covers have in common, as the end of a key of the phrases."""
    has = [name for name in ("author", "genre") if books.attributes.get(name)]
    if not has:
        raise SamDataError(f"books {books.id} have neither author nor genre in common")
    return "".join(f"_{name}" for name in has)
