"""Descriptions of the objects, one noun phrase each, from their source images or known attributes."""

from collections.abc import Sequence
from dataclasses import replace

from lavis_sam.synthesis.protocols import Describer, DescribeRequest
from lavis_sam.synthesis.records import Draft
from lavis_sam.synthesis.stages.base import Failure, answer_all
from lavis_sam.synthesis.stages.segment import used_views


class DescribeStage:
    """Asks the describer for every object of every sample."""

    name = "describe"

    def __init__(self, describer: Describer) -> None:
        self._describer = describer

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Each draft with one description an object."""
        jobs = [(place, index) for place, draft in enumerate(drafts) for index in range(len(draft.plan.objects))]
        answers = answer_all(self._describer.describe, [_request(drafts[place], index) for place, index in jobs])
        results: list[Draft | Failure] = list(drafts)
        for (place, _), answer in zip(jobs, answers, strict=True):
            draft = results[place]
            if isinstance(draft, Draft):
                if isinstance(answer, Failure):
                    results[place] = answer
                else:
                    results[place] = replace(draft, descriptions=(*draft.descriptions, answer))
        return results


def _request(draft: Draft, index: int) -> DescribeRequest:
    obj = draft.plan.objects[index]
    views = tuple(obj.views[view] for owner, view in used_views(draft) if owner == index)
    return DescribeRequest(draft.plan.attempt.rng("describe", index), obj, views)
