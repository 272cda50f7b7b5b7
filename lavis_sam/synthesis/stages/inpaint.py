"""Inpainting: the place around the objects, and the objects back as they were."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.protocols import Inpainter, InpaintRequest, Scorer, ScoreRequest, Segmenter
from lavis_sam.synthesis.quality import background_scores, extra_salient, subject_difference
from lavis_sam.synthesis.records import Draft, Rgb
from lavis_sam.synthesis.stages.background import same_scene
from lavis_sam.synthesis.stages.base import Failure, answer_all, ask_each, with_scores
from lavis_sam.synthesis.stages.composite import over


class InpaintStage:
    """Paints every scene, pastes the objects back, and measures what came out.

    Grids and flat images are finished when they are composed.
    """

    name = "inpaint"

    def __init__(
        self, inpainter: Inpainter, *, fill: int, segmenter: Segmenter | None = None, scorer: Scorer | None = None
    ) -> None:
        """Keep the backends.

        Args:
            segmenter: Looks for further salient objects in the finished image; None saves its time.
        """
        self._inpainter, self._fill, self._segmenter, self._scorer = inpainter, fill, segmenter, scorer

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Return each draft with its finished images and their scores."""
        jobs = [
            (place, index)
            for place, draft in enumerate(drafts)
            for index, image in enumerate(draft.plan.images)
            if image.layout == "scene"
        ]
        requests = [_request(drafts[place], index) for place, index in jobs]
        painted = dict(zip(jobs, answer_all(self._inpainter.inpaint, requests), strict=True))
        results = [_with_images(draft, place, painted, self._fill) for place, draft in enumerate(drafts)]
        if self._segmenter is not None:
            results = self._look_again(results, jobs, self._segmenter)
        return results if self._scorer is None else ask_each(results, self._scorer.score, _score_request, _with_answer)

    def _look_again(
        self, results: list[Draft | Failure], jobs: list[tuple[int, int]], segmenter: Segmenter
    ) -> list[Draft | Failure]:
        """Segment the finished images, and measure what is salient that nobody put there."""
        images = {job: draft.images[job[1]] for job in jobs if isinstance(draft := results[job[0]], Draft)}
        masks = answer_all(segmenter.segment, list(images.values()))
        for (place, index), mask in zip(images, masks, strict=True):
            draft = results[place]
            if isinstance(draft, Draft):
                if isinstance(mask, Failure):
                    results[place] = mask
                else:
                    extra = extra_salient(mask.alpha, draft.composites[index].alpha)
                    results[place] = with_scores(draft, {"background.extra_salient": (extra,)})
        return results


def _request(draft: Draft, index: int) -> InpaintRequest:
    paired = draft.plan.images[index].paired_with
    first = index if paired is None else paired
    # Paired images are painted from equal noise: the same camera in the same place.
    rng = draft.plan.attempt.rng("inpaint", first)
    return InpaintRequest(rng, draft.composites[index], draft.backgrounds[index], same_scene(draft, first))


def _score_request(draft: Draft) -> ScoreRequest:
    return ScoreRequest(draft.images, draft.composites, draft.plan.images, draft.backgrounds)


def _with_answer(draft: Draft, scores: Mapping[str, tuple[float, ...]] | Failure) -> Draft | Failure:
    return scores if isinstance(scores, Failure) else with_scores(draft, scores)


def _with_images(draft: Draft, place: int, painted: dict[tuple[int, int], Rgb | Failure], fill: int) -> Draft | Failure:
    images: list[Rgb] = []
    for index, composite in enumerate(draft.composites):
        answer = painted.get((place, index), composite.canvas)
        if isinstance(answer, Failure):
            return replace(answer, image=composite.canvas)
        if answer.shape != composite.canvas.shape or answer.dtype != composite.canvas.dtype:
            found = f"{answer.dtype} {answer.shape}"
            wanted = f"{composite.canvas.dtype} {composite.canvas.shape}"
            return Failure.of(SamDataError(f"the inpainting backend gave an image of {found}, wanted {wanted}"))
        if draft.plan.images[index].layout == "scene":
            pasted = over(composite.colour, composite.alpha, answer)
            scores = {
                "subject.difference": subject_difference(composite.canvas, answer, composite.alpha),
                "subject.pasted": subject_difference(composite.canvas, pasted, composite.alpha),
                **background_scores(pasted, composite.alpha, fill),
            }
            draft = with_scores(draft, {name: (value,) for name, value in scores.items()})
            answer = pasted
        images.append(answer)
    return replace(draft, images=tuple(images))


def shrunk(image: Rgb, side: int) -> Rgb:
    """Return an image with its longer side at most `side` pixels long."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
