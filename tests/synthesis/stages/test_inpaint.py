"""Inpainting on fake backends: the place around the objects, and the objects as they were."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.synthesis import (
    FakeInpainter,
    FakeSegmenter,
    composed,
)
from lavis_sam.synthesis.stages.base import Failure
from lavis_sam.synthesis.stages.inpaint import InpaintStage, shrunk


def test_objects_are_pasted_back_unharmed_and_the_harm_is_measured():
    (draft,) = InpaintStage(FakeInpainter(damage=30), fill=127)([composed(None)])
    composite = draft.composites[0]
    opaque = composite.alpha == 1
    assert (draft.images[0][opaque] == composite.colour[opaque]).all()
    assert draft.scores["subject.difference"][0] == pytest.approx(30, abs=8)
    assert draft.scores["subject.pasted"] == (0.0,)
    assert draft.scores["background.fill"][0] < 0.05


def test_paired_images_are_painted_alike():
    (draft,) = InpaintStage(FakeInpainter(), fill=127)([composed(None, 0)])
    outside = (draft.composites[0].alpha == 0) & (draft.composites[1].alpha == 0)
    assert (draft.images[0][outside] == draft.images[1][outside]).all()


def test_flat_images_and_grids_are_not_painted():
    class Never(FakeInpainter):
        def inpaint(self, requests):
            raise AssertionError(requests)

    (draft,) = InpaintStage(Never(), fill=127)([composed(None, layout="grid")])
    assert (draft.images[0] == draft.composites[0].canvas).all()
    assert "background.contrast" not in draft.scores


def test_a_image_of_the_wrong_size_is_a_failure():
    class Small(FakeInpainter):
        def inpaint(self, requests):
            return [np.zeros((8, 8, 3), np.uint8) for _ in requests]

    (result,) = InpaintStage(Small(), fill=127)([composed(None)])
    assert isinstance(result, Failure)
    assert "(8, 8, 3), wanted uint8 (96, 96, 3)" in result.message


def test_extra_objects_are_looked_for_when_asked():
    class Everything(FakeSegmenter):
        def segment(self, images):
            return [replace(mask, alpha=np.ones_like(mask.alpha)) for mask in super().segment(images)]

    (plain,) = InpaintStage(FakeInpainter(), fill=127)([composed(None)])
    assert "background.extra_salient" not in plain.scores
    (draft,) = InpaintStage(FakeInpainter(), fill=127, segmenter=Everything())([composed(None)])
    assert draft.scores["background.extra_salient"][0] > 0.2


def test_a_models_measurements_are_added():
    class Scorer:
        name, version = "clip", "1"

        def score(self, requests):
            return [{"semantic.object_similarity": (0.25,) * len(request.images)} for request in requests]

    (draft,) = InpaintStage(FakeInpainter(), fill=127, scorer=Scorer())([composed(None, None)])
    assert draft.scores["semantic.object_similarity"] == (0.25, 0.25)


def test_thumbnails():
    assert shrunk(np.zeros((100, 400, 3), np.uint8), 200).shape == (50, 200, 3)
    assert shrunk(np.zeros((100, 150, 3), np.uint8), 200).shape == (100, 150, 3)
