"""What the doctor says about a language model that is spread."""

import sys

import pytest

from helpers.findings import FAILURE, NOTE, OK, assert_helpful
from lavis_sam.doctor.device_map import check_device_map, in_words
from lavis_sam.planning.forecast import Load
from lavis_sam.planning.spread import SpreadOverCards
from lavis_sam.predictor.load_model import model_config


def test_without_a_map_nothing_is_said():
    assert not list(check_device_map(model_config("tiny"), "cpu", Load()))


def test_where_the_parts_would_go_and_which_cards_hold_them():
    config = model_config("tiny", settings={"device_map": {"model": "cpu", "lm_head": "disk"}})
    places, cards = check_device_map(config, "cpu", Load())
    assert (places.verdict, places.found) == (OK, "1 module(s) on cpu, 1 module(s) on disk")
    assert cards.verdict is NOTE
    assert cards.found == "generation fits on 1 card of 24 GB; 1 card of 40 GB; 1 card of 80 GB"


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"device_map": {"model": "cpu"}}, "lm_head.weight no place"), ({"device_map": "auto"}, "accelerate")],
)
def test_a_map_that_cannot_be_used(monkeypatch, settings, message):
    if settings["device_map"] == "auto":
        monkeypatch.setitem(sys.modules, "accelerate", None)
    found = list(check_device_map(model_config("tiny", settings=settings), "cpu", Load()))
    assert found[0].verdict is FAILURE
    assert message in found[0].found
    assert_helpful(found[:1])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (SpreadOverCards(24, 2, 86 * 10**8), "2 cards of 24 GB, or 1 with 8.6 GB of the language model in the machine"),
        (SpreadOverCards(24, 3, None), "3 cards of 24 GB"),
        (SpreadOverCards(24, None, None), "no number of 24 GB cards"),
    ],
)
def test_cards_in_words(found, words):
    assert in_words(found).startswith(words)
