import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavis_sam.metrics.ptb import PUNCTUATION, ptb_tokens
from lavis_sam.metrics.ptb_shape import shape_of

STORED = Path(__file__).parent / "fixtures" / "ptb_tokens.jsonl"


def test_same_tokens_as_the_original():
    # Split at line feeds alone: the sentences hold other characters at which `splitlines` would cut.
    stored = [json.loads(line) for line in STORED.read_text("utf-8").rstrip("\n").split("\n")]
    assert len(stored) > 900
    assert [(text, ptb_tokens(text), tokens) for text, tokens in stored if ptb_tokens(text) != tokens] == []


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A man's dog isn't running.", ["a", "man", "'s", "dog", "is", "n't", "running"]),
        ("They cannot go; 'tis late!", ["they", "can", "not", "go", "'t", "is", "late"]),
        ("a (brown) dog", ["a", "-lrb-", "brown", "-rrb-", "dog"]),  # brackets stay, see PUNCTUATION
        ("Mr. Smith of the U.S. at 5 p.m.", ["mr.", "smith", "of", "the", "u.s.", "at", "5", "p.m."]),
        ("“Hello” – he said…", ["hello", "he", "said"]),
        ("$5.99, 50%, 10,000", ["$", "5.99", "50", "%", "10,000"]),
        ("state-of-the-art he/she", ["state-of-the-art", "he/she"]),
        ("wow!! really?", ["wow", "!!", "really"]),  # two marks are a token that no list of punctuation has
        ("plan A. The end", ["plan", "a", "the", "end"]),
        ("John A. Smith", ["john", "a.", "smith"]),
        ("dog 😀 cat", ["dog", "cat"]),
        ("two\nlines\r\nhere", ["two", "lines", "here"]),
        ("", []),
        ("... -- ' `` ''", []),
    ],
)
def test_examples(text, tokens):
    assert ptb_tokens(text) == tokens


@given(st.text())
def test_no_text_crashes_it(text):
    tokens = ptb_tokens(text)
    assert not PUNCTUATION.intersection(tokens)
    assert all(tokens)
    assert len(shape_of(text)) == len(text)


@given(st.text(st.sampled_from(list("aB1 .,'’\"-/&@$<>()!?:;…é😀\n")), max_size=40))
def test_dense_trouble_does_not_crash_it(text):
    assert " " not in "".join(ptb_tokens(text))


@given(st.lists(st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=3, max_size=8), min_size=1))
def test_ordinary_words_stay_as_they_are(words):
    if {"cannot", "gonna", "gotta", "lemme", "gimme", "wanna"}.isdisjoint(words):
        assert ptb_tokens(" ".join(words)) == words


@pytest.mark.parametrize("part", ["a,", "'", "<a ", "@", "a-", "http://", "é", "n't"])
def test_a_long_text_without_spaces_is_read_as_its_halves_are(part):
    """20,000 letters: an expression that looks back and forth would need minutes, these need less than a second."""
    half = part * (5_000 // len(part)) * 2
    assert "".join(ptb_tokens(half * 2)) == "".join(ptb_tokens(half)) * 2
