"""Backgrounds, inpainting, descriptions and texts, on fake backends."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.synthesis import FakeBackgrounds, FakeDescriber, FakeInpainter, FakeSegmenter, FakeShapes
from lavis_sam.synthesis.forms import Texts
from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.records import Actor, Attempt, Draft, ImagePlan, Plan
from lavis_sam.synthesis.stages.background import BackgroundStage
from lavis_sam.synthesis.stages.base import Failure
from lavis_sam.synthesis.stages.composite import CompositeStage
from lavis_sam.synthesis.stages.inpaint import InpaintStage, shrunk
from lavis_sam.synthesis.stages.segment import SegmentStage
from lavis_sam.synthesis.stages.write import DescribeStage, KeepRefiner, WriteStage


def planned(*paired, layout="scene", slot=0):
    obj = FakeShapes().draw(SampleRequest(np.random.default_rng(slot), 1))
    images = tuple(ImagePlan(layout, (Actor(0, 0, "main"),), paired_with=other) for other in paired)
    return Draft(Plan(Attempt(0, slot, 0, "characters"), "pairs", (obj,), images))


def laid_out(*paired, layout="scene", slot=0):
    draft = planned(*paired, layout=layout, slot=slot)
    for stage in (SegmentStage(FakeSegmenter()), CompositeStage(96, 127)):
        (draft,) = stage([draft])
    return draft


def composed(*paired, layout="scene", slot=0):
    (draft,) = BackgroundStage(FakeBackgrounds())([laid_out(*paired, layout=layout, slot=slot)])
    return draft


def test_every_image_has_another_place_and_paired_images_have_the_same():
    for slot in range(10):
        (draft,) = BackgroundStage(FakeBackgrounds())([laid_out(None, None, 0, slot=slot)])
        first, second, paired = (background.scene for background in draft.backgrounds)
        assert first != second
        assert paired == first


def test_the_writer_is_told_what_stands_in_a_place():
    asked = []

    class Listening(FakeBackgrounds):
        def write(self, requests):
            asked.extend(requests)
            return super().write(requests)

    draft = laid_out(None, None, 0)
    BackgroundStage(Listening())([draft])
    first, second, paired = draft.composites
    assert [request.same_scene for request in asked] == [(first, paired), (second,)]


def test_grids_have_no_place():
    (draft,) = BackgroundStage(FakeBackgrounds())([planned(None, layout="grid")])
    assert draft.backgrounds[0].text == ""


def test_a_writer_that_fails_once_rejects_one_sample():
    class Moody(FakeBackgrounds):
        def write(self, requests):
            if any(request.objects[0].id == moody for request in requests):
                raise TimeoutError("no answer")
            return super().write(requests)

    drafts = [laid_out(None, None, slot=slot) for slot in range(3)]
    moody = drafts[2].plan.objects[0].id
    results = BackgroundStage(Moody())(drafts)
    assert [type(result) for result in results] == [Draft, Draft, Failure]
    assert results[2].reason == "TimeoutError"


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


class Form:
    """Says what it is told to say."""

    def __init__(self, output="Both show a red disc.", required=("red", "disc"), references=()):
        self.texts = Texts("What is shared?", output, required, references)

    def write(self, draft):
        return self.texts


class Refiner:
    name, version = "llm", "1"

    def __init__(self, answer):
        self.answer = answer

    def refine(self, requests):
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer for _ in requests]


@pytest.mark.parametrize(
    ("answer", "used"),
    [
        ("A red disc is in both images.", True),
        ("Both images contain a disc.", False),  # it lost a word that is true
        ("", False),
        ("  A disc, red.  ", True),
        (TimeoutError("no answer"), False),
    ],
)
def test_a_refined_answer_is_used_only_when_every_true_word_survives(answer, used):
    (draft,) = WriteStage(Form(), Refiner(answer))([planned(None)])
    assert draft.output == (answer.strip() if used else "Both show a red disc.")
    assert draft.scores["text.attributes"] == (1.0,)


def test_the_refined_answer_becomes_the_first_reference():
    form = Form(references=("Both show a red disc.", "There is a red disc."))
    (draft,) = WriteStage(form, Refiner("Red disc in both."))([planned(None)])
    assert draft.references == ("Red disc in both.", "Both show a red disc.", "There is a red disc.")


def test_what_the_answer_says_is_measured():
    (draft,) = WriteStage(Form(output="As an AI, I see a red thing."), KeepRefiner())([planned(None)])
    assert draft.scores["text.attributes"] == (0.5,)
    assert draft.scores["text.banned"] == (1.0,)
    assert draft.scores["text.words"] == (8.0,)


def test_descriptions_come_one_an_object():
    draft = composed(None)
    (described,) = DescribeStage(FakeDescriber())([draft])
    assert described.descriptions == (f"a {draft.plan.objects[0].label}",)

    class Speechless(FakeDescriber):
        def describe(self, requests):
            raise RuntimeError("no words")

    (failed,) = DescribeStage(Speechless())([draft])
    assert failed == Failure("RuntimeError", "no words")
