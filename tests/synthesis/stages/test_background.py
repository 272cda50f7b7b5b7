"""Background descriptions on fake backends: a place for every image, the same for paired ones."""

from helpers.synthesis import FakeBackgrounds, laid_out, planned
from lavis_sam.synthesis.records import Draft
from lavis_sam.synthesis.stages.background import BackgroundStage
from lavis_sam.synthesis.stages.base import Failure


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
