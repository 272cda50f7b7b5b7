"""A request's JSON becomes prompt, images and decoding; the protocol's errors are in test_app.py."""

import json

import pytest

from helpers.serving import png, user
from lavis_sam.models.decoding import Decoding
from lavis_sam.serving.chat_request import ChatRequest
from lavis_sam.serving.limits import Limits, RequestRefusedError


def read(**changes):
    body = {"model": "tiny", "messages": user("What?", png()), **changes}
    return ChatRequest.read(json.dumps(body).encode(), Limits())


def test_chat_request_all_texts_are_the_prompt_in_order():
    messages = [
        {"role": "system", "content": "Be brief."},
        *user("What is it?", png(1), png(2)),
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        *user("Which colour?", png(3)),
    ]
    request = read(messages=messages)
    assert request.prompt == "Be brief.\nWhat is it?\nA cat.\nWhich colour?"
    places = [place for place, _ in request.images()]
    assert places == [f"messages.{place}.image_url" for place in ("1.content.0", "1.content.1", "3.content.0")]


@pytest.mark.parametrize(
    ("changes", "decoding"),
    [
        ({}, Decoding()),
        ({"temperature": 0}, Decoding()),
        ({"temperature": None, "top_p": 1}, Decoding()),
        ({"stream": True}, Decoding(num_beams=1)),
        ({"stream": True, "n": 2}, Decoding(num_captions=2)),
        ({"temperature": 0.7}, Decoding(use_nucleus_sampling=True, num_beams=1, temperature=0.7)),
        ({"top_p": 0.5}, Decoding(use_nucleus_sampling=True, num_beams=1, top_p=0.5)),
        ({"temperature": 1, "n": 7}, Decoding(use_nucleus_sampling=True, num_beams=1, num_captions=7)),
        ({"max_tokens": 5, "min_tokens": 2}, Decoding(max_length=6, min_length=3)),
        ({"max_completion_tokens": 5}, Decoding(max_length=6)),
        (
            {"num_beams": 2, "repetition_penalty": 1, "length_penalty": -1},
            Decoding(num_beams=2, repetition_penalty=1.0, length_penalty=-1.0),
        ),
    ],
)
def test_chat_request_decoding(changes, decoding):
    assert read(**changes).decoding() == decoding


def test_chat_request_neutral_keys_change_nothing():
    neutral = {
        "user": "me",
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logprobs": False,
        "tools": [],
        "response_format": {"type": "text"},
        "metadata": {"a": "b"},
        "logit_bias": None,
    }
    del neutral["logit_bias"]
    assert read(**neutral).decoding() == read().decoding()


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"n": True}, "n"),
        ({"temperature": "0"}, "temperature"),
        ({"temperature": 0.001}, "temperature"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"max_tokens": 3, "min_tokens": 4}, ""),
        ({"stop": ["a"] * 5}, "stop"),
        ({"num_beams": 17}, "num_beams"),
        ({"seed": 2**64}, "seed"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages.0.content"),
    ],
)
def test_chat_request_names_the_place_of_an_error(changes, place):
    with pytest.raises(RequestRefusedError) as found:
        read(**changes)
    assert found.value.param.startswith(place)
    assert len(str(found.value)) < 500


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000, b'{"model": NaN}'])
def test_chat_request_refuses_what_is_no_json(body):
    with pytest.raises(RequestRefusedError):
        ChatRequest.read(body, Limits())
