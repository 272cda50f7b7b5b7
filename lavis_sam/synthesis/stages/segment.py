"""Segmentation: from a source image to an object with soft edges and no trace of its old background."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.protocols import PromptedSegmenter, Segmenter, SegmentRequest
from lavis_sam.synthesis.quality import THRESHOLD, mask_scores
from lavis_sam.synthesis.records import Alpha, Draft, Polygon, Rgb, Segment, SoftMask, View
from lavis_sam.synthesis.stages.base import Failure, answer_all, with_scores

# A segmenter's soft mask is much softer than a real edge: between these values it becomes 0 to 1.
_EDGE_FROM, _EDGE_TO = 0.35, 0.75
# Colours of pixels less opaque than this are mixed with the old background.
_PURE = 0.98
# A segmented edge is off by a pixel here and there, so colours this close to it are not trusted either.
_UNSURE_PIXELS = 1


class SegmentStage:
    """Cuts every view that a sample uses out of its source image.

    Icons and covers come with their own transparency. A source's masks are used as they are where the configuration
    says so or where the segmenter is `exact`.
    """

    name = "segment"

    def __init__(self, segmenter: Segmenter, *, use_source_masks: bool = False) -> None:
        """Keep the backend.

        Args:
            use_source_masks: Do not segment a view whose source has a mask for it.
        """
        self._segmenter = segmenter
        self._use_source_masks = use_source_masks

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Return each draft with its segments and their scores; all views are segmented in one batch."""
        jobs = [(index, key) for index, draft in enumerate(drafts) for key in used_views(draft)]
        views = {job: _view(drafts[job[0]], job[1]) for job in jobs}
        unknown = [job for job in jobs if not self._is_known(drafts[job[0]], job[1])]
        found = dict(zip(unknown, self._segment([views[job] for job in unknown]), strict=True))
        results: list[Draft | Failure] = list(drafts)
        for job in jobs:
            draft = results[job[0]]
            if isinstance(draft, Draft):
                results[job[0]] = _with_segment(draft, job[1], views[job], found.get(job))
        return results

    def _segment(self, views: Sequence[View]) -> list[SoftMask | Failure]:
        if isinstance(self._segmenter, PromptedSegmenter):
            prompts = [SegmentRequest(view.image, view.box, view.points) for view in views]
            return answer_all(self._segmenter.segment_prompted, prompts)
        return answer_all(self._segmenter.segment, [view.image for view in views])

    def _is_known(self, draft: Draft, key: tuple[int, int]) -> bool:
        obj = draft.plan.objects[key[0]]
        return KINDS[obj.kind].layout != "scene" or (self._use_source_masks and obj.views[key[1]].alpha is not None)


class ExactSegmenter:
    """Stands for "the source's own mask"; it cannot segment anything itself."""

    name = "exact"
    version = "1"

    def segment(self, images: Sequence[Rgb]) -> list[SoftMask]:
        """Refuse: only views without a mask of their own get here.

        Raises:
            SamDataError: Always.
        """
        raise SamDataError("the source has no mask for this view; choose a segmenter in stages.segment")


def used_views(draft: Draft) -> list[tuple[int, int]]:
    """Return (object, view) of every appearance, each once, in order of appearance."""
    actors = (actor for image in draft.plan.images for actor in image.actors)
    return list(dict.fromkeys((actor.object, actor.view) for actor in actors))


def cut_out(image: Rgb, alpha: Alpha, contacts: tuple[Polygon, ...] = (), *, exact: bool) -> Segment:
    """Return the object alone, cropped to its box.

    Args:
        image: [H, W, 3] source image.
        alpha: [H, W] its mask.
        contacts: Where it touches the ground, in pixels of the image.
        exact: The mask's edge is right; otherwise it is sharpened, and all but the largest piece is dropped.

    Returns:
        Colours near the edge are taken from further inside, so that no old background shines through.

    Raises:
        SamDataError: The mask is empty.
    """
    if not exact:
        alpha = np.clip((alpha - _EDGE_FROM) / (_EDGE_TO - _EDGE_FROM), 0, 1) * _largest_piece(alpha >= THRESHOLD)
    rows, columns = np.nonzero((alpha > 1 / 255).any(axis=1))[0], np.nonzero((alpha > 1 / 255).any(axis=0))[0]
    if not len(rows):
        raise SamDataError("the mask is empty: no object was found in the image")
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    colour, alpha = np.ascontiguousarray(image[box]), np.ascontiguousarray(alpha[box])
    colour = _clean_edges(colour, alpha, 0 if exact else _UNSURE_PIXELS)
    moved = tuple(tuple((x - columns[0], y - rows[0]) for x, y in outline) for outline in contacts)
    return Segment(np.dstack([colour, np.round(alpha * 255).astype(np.uint8)]), moved)


def _view(draft: Draft, key: tuple[int, int]) -> View:
    return draft.plan.objects[key[0]].views[key[1]]


def _with_segment(draft: Draft, key: tuple[int, int], view: View, found: SoftMask | Failure | None) -> Draft | Failure:
    if isinstance(found, Failure):
        return replace(found, image=view.image)
    try:
        if found is None:
            if view.alpha is None:
                raise SamDataError(f"{view.reference}: the source has no mask for this view")
            scores = mask_scores(view.alpha) if KINDS[draft.plan.objects[key[0]].kind].layout == "scene" else {}
            draft = with_scores(draft, {name: (value,) for name, value in scores.items()})
            segment = cut_out(view.image, view.alpha, view.contacts, exact=True)
        else:
            scores = mask_scores(found.alpha, view.alpha, found.predicted_iou)
            draft = with_scores(draft, {name: (value,) for name, value in scores.items()})
            # An empty mask is judged by its score, which says more than an error.
            empty = not (found.alpha >= THRESHOLD).any()
            nothing = Segment(np.zeros((1, 1, 4), np.uint8))
            segment = nothing if empty else cut_out(view.image, found.alpha, view.contacts, exact=False)
    except SamDataError as error:
        return Failure("SamDataError", str(error), view.image)
    return replace(draft, segments={**draft.segments, key: segment})


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected piece, with a margin for the soft edge around it."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if len(stats) < 2:
        return mask.astype(np.float32)
    largest = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    return cv2.dilate(largest, np.ones((9, 9), np.uint8)).astype(np.float32)


def _clean_edges(colour: Rgb, alpha: Alpha, unsure: int) -> Rgb:
    """Return colours of mixed pixels, and of those up to `unsure` pixels from one, replaced by the nearest pure one."""
    kernel = np.ones((2 * unsure + 1,) * 2, np.uint8)
    pure = cv2.erode((alpha >= _PURE).astype(np.uint8), kernel)
    if not pure.any() or pure.all():
        return colour
    _, nearest = cv2.distanceTransformWithLabels(1 - pure, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    by_label[nearest[pure == 1]] = colour[pure == 1]
    return np.where(pure[..., None] == 1, colour, by_label[nearest])
