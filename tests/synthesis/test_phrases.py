"""The grammar around phrases."""

import pytest
from omegaconf import OmegaConf

from lavis_sam.synthesis.phrases import FOLDER, indefinite, listed, sentence, with_article
from lavis_sam.synthesis.records import FORMS


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("acorn", "an acorn"),
        ("banana", "a banana"),
        ("unicorn", "a unicorn"),
        ("hourglass", "an hourglass"),
        ("grapes", "grapes"),
        ("french fries", "french fries"),
        ("eyeglasses", "eyeglasses"),
        ("woman in blue jeans", "a woman in blue jeans"),
        ("man wearing overalls", "a man wearing overalls"),
        ("grapes icon", "a grapes icon"),
        ("the sofa", "the sofa"),
    ],
)
def test_what_comes_before_a_noun(phrase, text):
    assert indefinite(phrase) == text


def test_a_phrase_with_an_article_keeps_it():
    assert with_article("an oak chair") == "an oak chair"


def test_lists_and_sentences():
    assert [listed(["a", "b", "c"][:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert sentence("a  red\nsofa") == "A red sofa."
    assert sentence("Is it?") == "Is it?"


@pytest.mark.parametrize("form", FORMS)
def test_there_are_many_ways_to_ask(form):
    """No phrasing twice; about ten questions for what every sample asks."""
    entries = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{form}.yaml"))
    for entry in entries.values():
        for phrasings in entry.values():
            assert len(set(phrasings)) == len(phrasings)
    most = max(len(phrasings) for entry in entries.values() for phrasings in entry.values())
    assert most >= 10
