"""The stages one after the other, for a batch of tries: drafts come out, or rejections with reason and value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from lavis_sam.synthesis.duplicates import image_hash
from lavis_sam.synthesis.forms import Form
from lavis_sam.synthesis.protocols import Source
from lavis_sam.synthesis.quality import THRESHOLD, Limits, Violation, first_violation
from lavis_sam.synthesis.records import Attempt, Draft, Rejection, Rgb
from lavis_sam.synthesis.stages.base import Failure, Stage, answer_all
from lavis_sam.synthesis.stages.segment import used_views

# Called after each stage with its name, how many drafts passed it and how many did not.
StageCallback = Callable[[str, int, int], None]


class Pipeline:
    """Everything between a try and its sample; holds no state, so any process may make any try."""

    def __init__(
        self, form: Form, sources: Mapping[str, Source], stages: Sequence[Stage], limits: Mapping[str, Limits]
    ) -> None:
        """Keep the parts.

        Args:
            sources: Kind -> source.
            stages: In order.
            limits: Score -> threshold.
        """
        self._form, self._sources, self._stages, self._limits = form, sources, stages, limits

    def run(self, attempts: Sequence[Attempt], on_stage: StageCallback | None = None) -> list[Draft | Rejection]:
        """Make a batch of tries, each stage for all of them together.

        Args:
            attempts: At most one for each place of the data set.

        Returns:
            For each try, in order, the finished draft or the first thing that was wrong with it.

        Raises:
            SamConfigurationError: A backend cannot work at all (a package or file is missing).
        """
        results: list[Draft | Rejection] = []
        plans = answer_all(lambda batch: [self._form.plan(attempt, self._sources) for attempt in batch], attempts)
        for attempt, plan in zip(attempts, plans, strict=True):
            results.append(_rejected(attempt, "plan", plan) if isinstance(plan, Failure) else Draft(plan))
        self._report(on_stage, "plan", results, before=len(attempts))
        for stage in self._stages:
            places = [place for place, result in enumerate(results) if isinstance(result, Draft)]
            drafts = [result for result in results if isinstance(result, Draft)]
            for place, draft, result in zip(places, drafts, stage(drafts), strict=True):
                results[place] = self._judge(draft.plan.attempt, stage.name, result)
            self._report(on_stage, stage.name, results, before=len(drafts))
        return [_hashed(result) if isinstance(result, Draft) else result for result in results]

    def _judge(self, attempt: Attempt, stage: str, result: Draft | Failure) -> Draft | Rejection:
        if isinstance(result, Failure):
            return _rejected(attempt, stage, result)
        violation = first_violation(result.scores, self._limits)
        if violation is None:
            return result
        image = evidence(result, violation)
        return Rejection(attempt, stage, violation.score, violation.value, violation.wanted, image)

    @staticmethod
    def _report(on_stage: StageCallback | None, stage: str, results: Sequence[Draft | Rejection], before: int) -> None:
        if on_stage is not None:
            passed = sum(isinstance(result, Draft) for result in results)
            on_stage(stage, passed, before - passed)


def evidence(draft: Draft, violation: Violation) -> Rgb | None:
    """Return what was judged, to look at: the source image for a mask, otherwise the sample's images side by side."""
    if violation.score.startswith("mask."):
        obj, view = used_views(draft)[min(violation.index, len(used_views(draft)) - 1)]
        return draft.plan.objects[obj].views[view].image
    shown = draft.images or tuple(composite.canvas for composite in draft.composites)
    if not shown:
        return None
    height = max(image.shape[0] for image in shown)
    padded = [
        cv2.copyMakeBorder(image, 0, height - image.shape[0], 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for image in shown
    ]
    return np.concatenate([padded[0], *padded[1:]], axis=1).astype(np.uint8)


def visible_masks(draft: Draft, image: int) -> list[np.ndarray]:
    """Return [S, S] visible pixels of each layer of an image, back to front."""
    layers = draft.composites[image].layers
    masks = []
    for index, layer in enumerate(layers):
        mask = layer.alpha >= THRESHOLD
        for other in layers[index + 1 :]:
            mask &= other.alpha < THRESHOLD
        masks.append(mask)
    return masks


def _rejected(attempt: Attempt, stage: str, failure: Failure) -> Rejection:
    return Rejection(attempt, stage, failure.reason, None, failure.message, failure.image)


def _hashed(draft: Draft) -> Draft:
    return replace(draft, hashes=tuple(image_hash(image) for image in draft.images))
