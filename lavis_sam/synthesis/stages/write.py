"""Instruction and answer; a refined answer is used only when it says everything that the plain one says."""

from collections.abc import Sequence
from dataclasses import replace

from lavis_sam.synthesis.forms import Form, Texts
from lavis_sam.synthesis.protocols import Refiner, RefineRequest
from lavis_sam.synthesis.quality import mentions, text_scores
from lavis_sam.synthesis.records import Draft
from lavis_sam.synthesis.stages.base import Failure, answer_all, one_by_one, with_scores

# What a chat model says of itself or of its task.
BANNED = ("as an ai", "language model", "i'm sorry", "i cannot", "here is", "rewritten", "sure,", "the caption")


class WriteStage:
    """The form writes, the refiner smooths, quality control reads."""

    name = "write"

    def __init__(self, form: Form, refiner: Refiner) -> None:
        self._form, self._refiner = form, refiner

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Each draft with its texts and their scores."""
        texts: dict[int, Texts] = {}

        def written(draft: Draft) -> Draft:
            found = self._form.write(draft)
            texts[draft.plan.attempt.slot] = found
            return replace(draft, instruction=found.instruction, output=found.output, references=found.references)

        results = one_by_one(written, drafts)
        places = [place for place, draft in enumerate(results) if isinstance(draft, Draft)]
        whole = [draft for draft in results if isinstance(draft, Draft)]
        requests = [
            RefineRequest(
                draft.plan.attempt.rng("refine"),
                draft.instruction,
                draft.output,
                texts[draft.plan.attempt.slot].required,
            )
            for draft in whole
        ]
        answers = answer_all(self._refiner.refine, requests)
        for place, draft, request, answer in zip(places, whole, requests, answers, strict=True):
            results[place] = _judged(draft, request, answer)
        return results


class KeepRefiner:
    """Leaves answers as they are."""

    name = "keep"
    version = "1"

    def refine(self, requests: Sequence[RefineRequest]) -> list[str]:
        """The answers."""
        return [request.output for request in requests]


def _judged(draft: Draft, request: RefineRequest, answer: str | Failure) -> Draft:
    """With the refined answer where it may be used, and the scores of what is used."""
    # A refiner that fails loses nothing: the plain answer is right.
    refined = "" if isinstance(answer, Failure) else answer.strip()
    usable = refined and all(mentions(refined, phrase) for phrase in request.required)
    output = refined if usable else draft.output
    references = tuple(dict.fromkeys((output, *draft.references))) if draft.references else ()
    scores = text_scores(output, request.required, (request.instruction,), BANNED)
    draft = with_scores(draft, {name: (value,) for name, value in scores.items()})
    return replace(draft, output=output, references=references)
