"""Places and smoother answers from a chat service on the loopback device."""

import numpy as np
import pytest

from helpers.endpoint_fixtures import no_key, service  # noqa: F401 (fixtures)
from helpers.endpoint_server import said
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.backends.chat import (
    ChatBackgrounds,
    ChatRefiner,
    as_turns,
    background_prompt,
    read_background,
    read_refined,
    refine_prompt,
)
from lavis_sam.synthesis.configuration import Backend
from lavis_sam.synthesis.protocols import BackgroundRequest, RefineRequest
from lavis_sam.synthesis.records import SourceObject
from lavis_sam.synthesis.registry import make


def chair(label="green chair"):
    return SourceObject("c1", "furniture", "mine", "none", {}, 1.0, (), label=label)


def request(seed=0, **more):
    return BackgroundRequest(np.random.default_rng(seed), (chair(),), **more)


def refine(output="Both show a red disc.", required=("red", "disc")):
    return RefineRequest(np.random.default_rng(0), "What is shared?", output, required)


def test_a_question_holds_examples_and_ends_with_the_subject():
    prompt = background_prompt(request(pose="waving", scene="forest", avoid=("On a street",)))
    assert prompt.endswith("Subject: a green chair, waving\nBackground:")
    assert prompt.count("Background: ") == 5
    assert "this scene: forest" in prompt
    assert "none of these places: On a street" in prompt
    assert prompt != background_prompt(request(seed=1))
    assert background_prompt(request(seed=1)) == background_prompt(request(seed=1))


@pytest.mark.parametrize(
    ("answer", "text", "place"),
    [
        ("Walking on a street", "Walking on a street", "on a street"),
        ("In a dark train station.", "In a dark train station", "in a dark train station"),
        ('\n  "**Background: beside a café**"\nMore words', "Beside a café", "beside a café"),
    ],
)
def test_a_place_is_read_from_an_answer(answer, text, place):
    found = read_background(answer)
    assert (found.text, found.place, found.scene) == (text, place, "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "0 words"),
        ("Street", "1 words"),
        ("In " + "very " * 20 + "big halls", "wanted 2 to 16"),
        ("A sunny garden", "no place"),
        ("在一个公园里 在 的 in", "English"),
        ("В тёмном парке in", "English"),
        ("I'm sorry, I cannot help in this", "its task"),
        ("In a park Subject: a man", "repeats the question"),
        ("on a STREET", "another image"),
    ],
)
def test_what_is_no_place_is_refused_with_the_reason(answer, why):
    with pytest.raises(SamDataError, match=why):
        read_background(answer, ("On a street",))


def test_a_smoother_answer_is_read():
    assert read_refined('Rewritten: "A red disc is in both."', refine()) == "A red disc is in both."


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("A disc is in both.", "lost 'red'"),
        ("", "0 words"),
        ("A red disc " + "and so on " * 20, "wanted 1 to"),
        ("Sure, a red disc is in both.", "its task"),
    ],
)
def test_an_answer_that_says_less_or_more_is_refused(answer, why):
    with pytest.raises(SamDataError, match=why):
        read_refined(answer, refine())


def test_the_configuration_names_both_jobs_and_answers_are_paid_once(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: said(
        "On a red disc" if "Background:" in body["messages"][0]["content"] else "A red disc is in both."
    )
    options = {"model": "m-1", "url": service.url, "cache": str(tmp_path / "answers")}
    writer = make("background", Backend("chat", options), {"split": "train"}, "stages.background")
    assert isinstance(writer, ChatBackgrounds)
    assert writer.name == "chat m-1"
    found = writer.write([request(0), request(1)])
    assert [background.place for background in found] == ["on a red disc"] * 2
    refiner = make("refine", Backend("chat", options), {}, "stages.refine")
    assert isinstance(refiner, ChatRefiner)
    assert refiner.refine([refine()]) == ["A red disc is in both."]
    assert len(service.requests) == 3
    again = make("background", Backend("chat", options), {}, "stages.background")
    assert again.write([request(0), request(1)]) == found
    assert len(service.requests) == 3


def test_examples_as_turns_say_what_the_text_says():
    for prompt in (background_prompt(request(avoid=("On a street",))), refine_prompt(refine("Two lines.\n\nOf it."))):
        turns = as_turns(prompt)
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * 5 + ["user"]
        said_in_all = [turn["content"] for turn in turns]
        assert said_in_all[-1].endswith(prompt.rsplit("\n", 1)[1])
        pairs = [f"{asked} {answered}" for asked, answered in zip(said_in_all[:-1:2], said_in_all[1::2], strict=True)]
        assert "\n\n".join([*pairs, said_in_all[-1]]) == prompt


def test_examples_are_sent_as_turns_where_they_are_wanted_and_paid_apart(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: said("On a red disc")
    options = {"model": "m-1", "url": service.url, "cache": str(tmp_path / "answers")}
    for examples, messages in (("turns", 11), ("text", 1)):
        writer = make("background", Backend("chat", {**options, "examples": examples}), {"split": "train"}, "x")
        for _ in range(2):
            writer.write([request(0)])
        assert len(service.requests[-1][2]["messages"]) == messages
    assert len(service.requests) == 2
    assert service.requests[0][2]["messages"] == as_turns(background_prompt(request(0)))


def test_an_option_that_is_none_is_refused(service, tmp_path):  # noqa: F811
    with pytest.raises(SamConfigurationError, match="modle"):
        make("refine", Backend("chat", {"modle": "m", "model": "m"}), {}, "stages.refine")
    with pytest.raises(SamConfigurationError, match="concurrency"):
        make("refine", Backend("chat", {"model": "m", "concurrency": 0}), {}, "stages.refine")
    with pytest.raises(SamConfigurationError, match=r"refine\.examples: found 'turn', wanted one of text, turns"):
        make("refine", Backend("chat", {"model": "m", "examples": "turn"}), {}, "stages.refine")
    with pytest.raises(SamConfigurationError, match="wanted a URL"):
        make("refine", Backend("chat", {"model": "m", "url": "host"}), {}, "stages.refine")
