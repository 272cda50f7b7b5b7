import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavis_sam.baselines.reply import read_answer, unanswered, without_thoughts
from lavis_sam.baselines.transport import FailedError
from lavis_sam.files import to_json


def reply(content, reason="stop", **message):
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": reason}]}


def test_a_filtered_answer_is_empty_and_a_refusal_is_an_answer():
    assert read_answer(reply(None, "content_filter"))[0] == ""
    assert read_answer(reply(None, refusal="I cannot."))[0] == "I cannot."
    assert read_answer(reply([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]))[0] == "a b"
    assert read_answer(reply(" x\ud800 "))[0] == "x\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "other", [{}, {"choices": None}, {"choices": [None]}, {"choices": [{"message": {"content": 5}}]}, {"error": "x"}]
)
def test_another_form_is_a_failure(other):
    with pytest.raises(FailedError, match="no answer in the reply"):
        read_answer(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "content", "finish_reason", "refusal", "type", "text"]), inner)
    ),
    max_leaves=12,
)


@given(choices=st.lists(JSON, max_size=2) | JSON, usage=JSON, model=JSON | st.just("\ud800"))
@settings(max_examples=200, deadline=None)
def test_no_reply_crashes_the_reader(choices, usage, model):
    try:
        text, facts = read_answer({"choices": choices, "usage": usage, "model": model})
    except FailedError:
        return
    assert text == text.encode().decode()
    assert json.loads(to_json(facts)) == facts


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ([{"type": "output_text", "text": "a dog"}], "a dog"),
        ([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "a dog"}], "a dog"),
        ([{"type": "refusal", "refusal": "I cannot."}], "I cannot."),
        ([{"text": "a "}, {"type": "output_text", "text": "dog"}], "a dog"),
        ([], ""),
    ],
)
def test_the_text_of_parts(content, wanted):
    assert read_answer(reply(content))[0] == wanted


def test_parts_that_nobody_knows_are_not_an_empty_answer():
    with pytest.raises(FailedError, match="no answer in the reply"):
        read_answer(reply([{"type": "video", "url": "x"}]))


@pytest.mark.parametrize(
    ("text", "reason", "wanted"),
    [
        ("<think>A cat? No.</think>\n\na dog", "stop", "a dog"),
        ("A cat? No.</think>a dog", "stop", "a dog"),
        ("<think>A cat?", "length", ""),
        ("a dog <think>Really?", "length", "a dog"),
        ("<think>A cat?", "stop", ""),
        ("the tag <think> opens thoughts", "stop", "the tag <think> opens thoughts"),
        ("<think>1</think>a <think>2</think>dog", "stop", "a dog"),
        ("◁think▷A cat?◁/think▷a dog", "stop", "a dog"),
        ("<thinking>A cat?</thinking> a dog", None, "a dog"),
        ("a dog", "length", "a dog"),
    ],
)
def test_thoughts_are_no_part_of_an_answer(text, reason, wanted):
    assert without_thoughts(text, reason) == wanted
    assert read_answer(reply(text, reason or "stop"))[0] == wanted


def test_many_marks_of_thoughts_take_no_longer_than_their_text():
    for mark in ("<think>", "</think>", "<think></think>"):
        without_thoughts(mark * 200_000, "stop")  # a quadratic search would take hours


def test_an_empty_text_is_an_answer_only_if_the_model_ended_it():
    for reason, is_answer in (
        ("stop", True),
        ("length", False),
        ("content_filter", False),
        ("content_filter: RECITATION", False),
        ("SAFETY", False),
        ([], True),
    ):
        text, facts = read_answer(reply("" if is_answer else None, reason))
        assert (unanswered(text, facts) is None) == is_answer
    assert unanswered(*read_answer(reply("a dog", "length"))) is None


def test_reasoning_beside_no_content_is_no_answer():
    for name in ("reasoning", "reasoning_content"):
        text, facts = read_answer(reply(None, "length", **{name: "Let me see."}))
        assert text == ""
        assert "--max-length" in unanswered(text, facts)
