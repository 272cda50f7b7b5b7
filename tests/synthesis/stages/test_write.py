"""Descriptions, instructions and answers on fake backends."""

import pytest

from helpers.synthesis import FakeDescriber, composed, planned
from lavis_sam.synthesis.forms import Texts
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
