"""Descriptions, instructions and answers on fake backends."""

from dataclasses import replace

import pytest

from helpers.synthesis import FakeDescriber, composed, planned
from lavis_sam.synthesis.forms import Texts
from lavis_sam.synthesis.records import Actor
from lavis_sam.synthesis.stages.base import Failure
from lavis_sam.synthesis.stages.write import DescribeStage, KeepRefiner, WriteStage


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


class Sees:
    """Says of each view what it is given to say."""

    name, version, sees_images = "sees", "1", True

    def __init__(self, *captions):
        self.captions, self.asked = list(captions), []

    def describe(self, requests):
        self.asked += [request.views for request in requests]
        return [self.captions[index % len(self.captions)] for index, _ in enumerate(requests)]


def wordless(**more):
    """A draft of two images, with one object in two views of which nothing is known."""
    draft = planned(None, None)
    obj = draft.plan.objects[0]
    views = (obj.views[0], replace(obj.views[0], reference="another"))
    obj = replace(obj, attributes={}, required_words=(), label="", views=views, **more)
    images = tuple(replace(image, actors=(Actor(0, index, "main"),)) for index, image in enumerate(draft.plan.images))
    return replace(draft, plan=replace(draft.plan, objects=(obj,), images=images))


def test_each_view_of_an_object_without_words_is_described_and_what_both_say_is_required():
    describer = Sees("a red disc on a table", "the red disc")
    (draft,) = DescribeStage(describer)([wordless()])
    assert [len(views) for views in describer.asked] == [1, 1]
    assert draft.descriptions == ("a red disc on a table",)
    assert draft.plan.objects[0].required_words == ("red disc",)
    assert draft.plan.objects[0].attributes == {"disc": "red disc"}


def test_views_without_agreement_are_no_sample():
    (failure,) = DescribeStage(Sees("a red disc", "two shoes"))([wordless()])
    assert isinstance(failure, Failure)
    assert "agree on nothing" in failure.message


def test_words_of_the_source_stay_the_measure_of_a_captioner():
    describer = Sees("a blue thing")
    (draft,) = DescribeStage(describer)([planned(None)])
    assert draft.plan.objects[0].required_words == planned(None).plan.objects[0].required_words
    assert len(describer.asked) == 1


def test_a_name_of_a_shelf_is_no_measure():
    (draft,) = DescribeStage(Sees("a red disc"))([replace_object(planned(None), filed_under=True)])
    assert draft.plan.objects[0].required_words == ("red disc",)


def test_icons_and_books_are_named_not_looked_at():
    describer = Sees("something else")
    drafts = [
        replace_object(planned(None), kind="icons", label="acorn"),
        replace_object(planned(None), kind="covers", label=""),
    ]
    found = DescribeStage(describer)(drafts)
    assert [draft.descriptions for draft in found] == [("an acorn",), ("a book",)]
    assert not describer.asked


def replace_object(draft, **more):
    return replace(draft, plan=replace(draft.plan, objects=(replace(draft.plan.objects[0], **more),)))
