"""Words: the objects' descriptions, then instruction and answer.

A refined answer is used only when it says everything that the plain one says.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.attributes import agreed_attributes, caption_of_object, icon_name_of
from lavis_sam.synthesis.forms import Form, Texts
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.phrases import with_article
from lavis_sam.synthesis.protocols import Describer, DescribeRequest, Refiner, RefineRequest
from lavis_sam.synthesis.quality import mentions, text_scores
from lavis_sam.synthesis.records import Draft, SourceObject, View
from lavis_sam.synthesis.stages.base import Failure, answer_all, ask_each, one_by_one, with_scores
from lavis_sam.synthesis.stages.composite import over
from lavis_sam.synthesis.stages.segment import used_views

# What a chat model says of itself or of its task.
BANNED = ("as an ai", "language model", "i'm sorry", "i cannot", "here is", "rewritten", "sure,", "the caption")


class DescribeStage:
    """Asks the describer for every object of every sample.

    One that looks at images (it has `sees_images`) describes each view of an object whose source has no words for it;
    what the descriptions agree on becomes the object's attributes. It is asked what an icon is where nobody knows,
    and never what a book is.
    """

    name = "describe"

    def __init__(self, describer: Describer) -> None:
        self._describer = describer

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Return each draft with one description an object."""
        sees = bool(getattr(self._describer, "sees_images", False))
        objects = [(place, index) for place, draft in enumerate(drafts) for index in range(len(draft.plan.objects))]
        jobs = [(key, request) for key in objects for request in _requests(drafts[key[0]], key[1], sees)]
        answers: dict[tuple[int, int], list[str | Failure]] = {key: [] for key in objects}
        for (key, _), answer in zip(
            jobs, answer_all(self._describer.describe, [request for _, request in jobs]), strict=True
        ):
            answers[key].append(answer)
        results: list[Draft | Failure] = list(drafts)
        for place, index in objects:
            draft = results[place]
            if isinstance(draft, Draft):
                results[place] = _described(draft, index, answers[place, index], sees)
        return [_distinct(before, after) if sees else after for before, after in zip(drafts, results, strict=True)]


class WriteStage:
    """The form writes, the refiner smooths, quality control reads."""

    name = "write"

    def __init__(self, form: Form, refiner: Refiner) -> None:
        self._form, self._refiner = form, refiner

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Return each draft with its texts and their scores."""
        texts: dict[int, Texts] = {}

        def written(draft: Draft) -> Draft:
            found = texts[draft.plan.attempt.slot] = self._form.write(draft)
            return replace(draft, instruction=found.instruction, output=found.output, references=found.references)

        def request(draft: Draft) -> RefineRequest:
            attempt = draft.plan.attempt
            return RefineRequest(attempt.rng("refine"), draft.instruction, draft.output, texts[attempt.slot].required)

        def judged(draft: Draft, answer: str | Failure) -> Draft:
            return _judged(draft, texts[draft.plan.attempt.slot].required, answer)

        return ask_each(one_by_one(written, drafts), self._refiner.refine, request, judged)


class KeepRefiner:
    """Leaves answers as they are."""

    name = "keep"
    version = "1"

    def refine(self, requests: Sequence[RefineRequest]) -> list[str]:
        """Return the answers."""
        return [request.output for request in requests]


def _judged(draft: Draft, required: Sequence[str], answer: str | Failure) -> Draft:
    """Return the draft with the refined answer where it may be used, and the scores of what is used."""
    # A refiner that fails loses nothing: the plain answer is right.
    refined = "" if isinstance(answer, Failure) else answer.strip()
    usable = refined and all(mentions(refined, phrase) for phrase in required)
    output = refined if usable else draft.output
    references = tuple(dict.fromkeys((output, *draft.references))) if draft.references else ()
    scores = text_scores(output, required, (draft.instruction,), BANNED)
    draft = with_scores(draft, {name: (value,) for name, value in scores.items()})
    return replace(draft, output=output, references=references)


def _requests(draft: Draft, index: int, sees: bool) -> list[DescribeRequest]:
    """Return one question for an object; one a view where words are to be found; none where its name says all."""
    obj = draft.plan.objects[index]
    if sees and _named(obj):
        return []
    views = tuple(obj.views[view] for owner, view in used_views(draft) if owner == index)
    rng = draft.plan.attempt.rng("describe", index)
    if not (sees and _is_wordless(obj)):
        return [DescribeRequest(rng, obj, views)]
    if KINDS[obj.kind].layout == "grid":  # one that is asked for and not shown needs a name too
        views = tuple(map(_on_white, views or obj.views[:1]))
    different = {view.reference: view for view in views}
    return [DescribeRequest(rng, obj, (view,)) for view in different.values()]


def _described(draft: Draft, index: int, answers: Sequence[str | Failure], sees: bool) -> Draft | Failure:
    """Return the draft with an object's description; its attributes too, where captions are all that is known of it."""
    failure = next((answer for answer in answers if isinstance(answer, Failure)), None)
    if failure is not None:
        return failure
    obj = draft.plan.objects[index]
    said = [answer for answer in answers if isinstance(answer, str)]
    if not said:
        return replace(draft, descriptions=(*draft.descriptions, _named(obj)))
    if not (sees and _is_wordless(obj)):
        return replace(draft, descriptions=(*draft.descriptions, said[0]))
    try:
        if KINDS[obj.kind].layout == "grid":
            return _with_object(draft, index, _with_name(obj, icon_name_of(said[0])))
        captions = [caption_of_object(caption) for caption in said]
        found = agreed_attributes(captions)
    except SamDataError as error:
        return Failure.of(error)
    obj = replace(obj, attributes={**obj.attributes, **found}, required_words=tuple(found.values()))
    return _with_object(draft, index, obj, captions[0])


def _with_object(draft: Draft, index: int, obj: SourceObject, description: str = "") -> Draft:
    """Return the draft with what is now known of an object, and its description, which is its name unless given."""
    objects = (*draft.plan.objects[:index], obj, *draft.plan.objects[index + 1 :])
    described = (*draft.descriptions, description or _named(obj))
    return replace(draft, plan=replace(draft.plan, objects=objects), descriptions=described)


def _with_name(icon: SourceObject, name: str) -> SourceObject:
    return replace(icon, attributes={**icon.attributes, "icon": name}, required_words=(name,), label=name)


def _distinct(before: Draft, after: Draft | Failure) -> Draft | Failure:
    """Refuse icons that the captioner gave one name: nobody could say which of them is meant."""
    if isinstance(after, Failure):
        return after
    new = [
        obj.label
        for old, obj in zip(before.plan.objects, after.plan.objects, strict=True)
        if KINDS[obj.kind].layout == "grid" and not old.label
    ]
    for first, second in itertools.permutations(new, 2):
        if mentions(first, second):
            return Failure.of(SamDataError(f"the captioner calls two icons {second!r} and {first!r}: which is meant?"))
    return after


def _on_white(view: View) -> View:
    """Return a view as it is seen in an image: what is transparent has no colour to speak of."""
    if view.alpha is None:
        return view
    white = np.full_like(view.image, 255)
    return replace(view, image=over(view.image, view.alpha, white))


def _named(obj: SourceObject) -> str:
    """Return what an icon or a book is called; "" of an object that stands in a place, which has looks to describe."""
    kind = KINDS[obj.kind]
    if kind.layout == "scene":
        return ""
    return with_article(obj.label) if obj.label else kind.unnamed


def _is_wordless(obj: SourceObject) -> bool:
    """Return whether the source has no words that a true description of what is seen has to hold."""
    return not obj.caption and (not obj.required_words or obj.filed_under)
