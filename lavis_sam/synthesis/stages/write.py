"""Words: the objects' descriptions, then instruction and answer.

A refined answer is used only when it says everything that the plain one says.
"""

from collections.abc import Sequence
from dataclasses import replace

from lavis_sam.synthesis.forms import Form, Texts
from lavis_sam.synthesis.protocols import Describer, DescribeRequest, Refiner, RefineRequest
from lavis_sam.synthesis.quality import mentions, text_scores
from lavis_sam.synthesis.records import Draft
from lavis_sam.synthesis.stages.base import Failure, answer_all, ask_each, one_by_one, with_scores
from lavis_sam.synthesis.stages.segment import used_views

# What a chat model says of itself or of its task.
BANNED = ("as an ai", "language model", "i'm sorry", "i cannot", "here is", "rewritten", "sure,", "the caption")


class DescribeStage:
    """Asks the describer for every object of every sample."""

    name = "describe"

    def __init__(self, describer: Describer) -> None:
        self._describer = describer

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Each draft with one description an object."""
        jobs = [(place, index) for place, draft in enumerate(drafts) for index in range(len(draft.plan.objects))]
        answers = answer_all(
            self._describer.describe, [_describe_request(drafts[place], index) for place, index in jobs]
        )
        results: list[Draft | Failure] = list(drafts)
        for (place, _), answer in zip(jobs, answers, strict=True):
            draft = results[place]
            if isinstance(draft, Draft) and isinstance(answer, Failure):
                results[place] = answer
            elif isinstance(draft, Draft) and isinstance(answer, str):
                results[place] = replace(draft, descriptions=(*draft.descriptions, answer))
        return results


class WriteStage:
    """The form writes, the refiner smooths, quality control reads."""

    name = "write"

    def __init__(self, form: Form, refiner: Refiner) -> None:
        self._form, self._refiner = form, refiner

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Each draft with its texts and their scores."""
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
        """The answers."""
        return [request.output for request in requests]


def _judged(draft: Draft, required: Sequence[str], answer: str | Failure) -> Draft:
    """With the refined answer where it may be used, and the scores of what is used."""
    # A refiner that fails loses nothing: the plain answer is right.
    refined = "" if isinstance(answer, Failure) else answer.strip()
    usable = refined and all(mentions(refined, phrase) for phrase in required)
    output = refined if usable else draft.output
    references = tuple(dict.fromkeys((output, *draft.references))) if draft.references else ()
    scores = text_scores(output, required, (draft.instruction,), BANNED)
    draft = with_scores(draft, {name: (value,) for name, value in scores.items()})
    return replace(draft, output=output, references=references)


def _describe_request(draft: Draft, index: int) -> DescribeRequest:
    obj = draft.plan.objects[index]
    views = tuple(obj.views[view] for owner, view in used_views(draft) if owner == index)
    return DescribeRequest(draft.plan.attempt.rng("describe", index), obj, views)
