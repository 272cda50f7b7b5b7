from dataclasses import replace

import numpy as np
import pytest

from helpers.synthesis import SIDE, FakeShapes, shape_mask
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.records import Actor, Attempt, Draft, ImagePlan, Plan, SoftMask
from lavis_sam.synthesis.stages.base import Failure, answer_all
from lavis_sam.synthesis.stages.segment import ExactSegmenter, SegmentStage, cut_out, used_views


def draft(kind="characters", slot=0, views=2):
    source = FakeShapes(kind)
    obj = source.draw(SampleRequest(np.random.default_rng(slot), views))
    images = tuple(ImagePlan("scene", (Actor(0, view, "main"),)) for view in range(views))
    return Draft(Plan(Attempt(0, slot, 0, kind), "pairs", (obj,), images))


class Segmenter:
    """Answers with a given mask, or raises for images of a given size."""

    name, version = "given", "1"

    def __init__(self, alpha=None, refuse=()):
        self.alpha, self.refuse, self.batches = alpha, refuse, []

    def segment(self, images):
        self.batches.append(len(images))
        if any(int(image.sum()) in self.refuse for image in images):
            raise RuntimeError("out of ideas")
        return [SoftMask(shape_mask("disc") if self.alpha is None else self.alpha, 0.9) for _ in images]


def test_all_views_go_in_one_batch_and_come_back_in_order():
    segmenter = Segmenter()
    drafts = [draft(slot=0), draft(slot=1, views=3)]
    results = SegmentStage(segmenter)(drafts)
    assert segmenter.batches == [5]
    assert [len(result.segments) for result in results] == [2, 3]
    assert results[1].scores["mask.predicted_iou"] == (0.9, 0.9, 0.9)
    assert len(results[1].scores["mask.true_iou"]) == 3


class Prompted(Segmenter):
    """Is shown where the object is."""

    def segment_prompted(self, requests):
        self.requests = requests
        return self.segment([request.image for request in requests])


def test_a_segmenter_that_takes_a_prompt_gets_what_the_source_knows():
    segmenter, asked = Prompted(), draft()
    obj = asked.plan.objects[0]
    views = (replace(obj.views[0], box=(1.0, 2.0, 30.0, 40.0)), replace(obj.views[1], points=((5.0, 6.0),)))
    plan = replace(asked.plan, objects=(replace(obj, views=views),))
    (result,) = SegmentStage(segmenter)([replace(asked, plan=plan)])
    assert isinstance(result, Draft)
    first, second = segmenter.requests
    assert (first.box, first.points) == ((1.0, 2.0, 30.0, 40.0), ())
    assert (second.box, second.points) == (None, ((5.0, 6.0),))
    assert second.image is views[1].image


def test_one_broken_image_rejects_one_sample_only():
    drafts = [draft(slot=slot) for slot in range(3)]
    broken = int(drafts[1].plan.objects[0].views[1].image.sum())
    results = SegmentStage(Segmenter(refuse=(broken,)))(drafts)
    assert isinstance(results[1], Failure)
    assert results[1].reason == "RuntimeError"
    assert results[1].message == "out of ideas"
    assert results[1].image is drafts[1].plan.objects[0].views[1].image
    assert all(isinstance(results[k], Draft) for k in (0, 2))


def test_no_object_found_is_told_by_its_score():
    result = SegmentStage(Segmenter(np.zeros((SIDE, SIDE), np.float32)))([draft()])[0]
    assert result.scores["mask.area"] == (0.0, 0.0)


def test_a_sources_own_masks_are_used_where_wanted():
    segmenter = Segmenter()
    result = SegmentStage(segmenter, use_source_masks=True)([draft()])[0]
    assert segmenter.batches == []
    assert "mask.true_iou" not in result.scores
    assert len(result.scores["mask.area"]) == 2
    with pytest.raises(SamDataError, match="no mask for this view"):
        ExactSegmenter().segment([np.zeros((4, 4, 3), np.uint8)])


def test_icons_and_covers_are_never_segmented():
    segmenter = Segmenter()
    result = SegmentStage(segmenter)([draft("icons")])[0]
    assert segmenter.batches == []
    assert result.scores == {}
    assert len(result.segments) == 2


def test_an_object_used_twice_is_segmented_once():
    plain = draft(views=1)
    twice = ImagePlan("scene", (Actor(0, 0, "main"),))
    plan = Plan(plain.plan.attempt, "pairs", plain.plan.objects, (twice, twice))
    assert used_views(Draft(plan)) == [(0, 0)]


def test_cut_out_keeps_the_object_and_nothing_of_its_background():
    alpha = shape_mask("disc")
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[...] = (0, 255, 0)
    soft = alpha.copy()
    inside = alpha > 0.5
    image[inside] = (200, 30, 30)
    # The object's rim is half background, as a camera would see it.
    rim = inside & ~(shape_mask("disc", tilt=0) * 0 + _eroded(inside) > 0.5)
    image[rim] = (100, 142, 15)
    soft[rim] = 0.5
    segment = cut_out(image, soft, ((((10.0, 90.0)), (20.0, 90.0)),), exact=True)
    visible = segment.rgba[..., 3] > 0
    assert (segment.rgba[visible][:, :3] == (200, 30, 30)).all()
    rows, columns = np.nonzero(inside)
    assert segment.rgba.shape[:2] == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    assert segment.contacts == (((10.0 - columns.min(), 90.0 - rows.min()), (20.0 - columns.min(), 90.0 - rows.min())),)


def _eroded(mask):
    import cv2

    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(float)


def test_cut_out_of_a_guess_keeps_the_largest_piece_and_sharpens_its_edge():
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[20:80, 20:60] = 1.0
    alpha[18:20, 20:60] = 0.55
    alpha[40:50, 85:95] = 1.0
    rgba = cut_out(np.zeros((SIDE, SIDE, 3), np.uint8), alpha, exact=False).rgba
    assert rgba.shape[:2] == (62, 40)
    assert rgba[5:, :, 3].min() == 255
    assert 100 < rgba[0, 10, 3] < 160


def test_an_empty_mask_cannot_be_cut_out():
    with pytest.raises(SamDataError, match="the mask is empty"):
        cut_out(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.float32), exact=True)


def test_a_backend_that_cannot_work_at_all_is_no_rejection():
    def broken(requests):
        raise SamConfigurationError("onnxruntime is not installed")

    with pytest.raises(SamConfigurationError):
        answer_all(broken, [1, 2, 3])


def test_a_backend_that_answers_too_little_is_a_failure_of_each():
    answers = answer_all(lambda requests: list(requests)[1:], [1, 2, 3])
    assert all(isinstance(answer, Failure) for answer in answers)
    assert "gave 0 answers to 1 requests" in answers[0].message
    assert answer_all(lambda requests: 1 / 0, []) == []
