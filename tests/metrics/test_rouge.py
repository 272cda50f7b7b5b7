"""ROUGE-L of sets and of sequences equals the two packages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.rouge.rouge import Rouge as CocoRouge
from rouge import Rouge

from lavis_sam.metrics.rouge import rouge_l_of_sequences, rouge_l_of_sets

# Few words, so that they repeat and several longest common subsequences exist.
WORDS = st.lists(st.sampled_from("abcd"), max_size=14)
SENTENCES = st.text(st.sampled_from(["a", "b", "c", "d", " ", " ", "."]), max_size=40)
PACKAGE = Rouge(metrics=["rouge-l"])


@given(SENTENCES, SENTENCES)
@settings(max_examples=400)
def test_rouge_of_sets_equals_the_package_bit_for_bit(candidate, reference):
    if not reference.strip(".") or not candidate.strip("."):
        return  # no sentence: the package raises
    expected = PACKAGE.get_scores(candidate, reference)[0]["rouge-l"]["f"]
    assert rouge_l_of_sets(candidate, reference) == expected


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [
        ("a b", "a b", 0.999999995),
        ("the the the", "the", 0.999999995),  # a set knows no repetition
        ("x", "a b", 0.0),
        ("", "a b", 0.0),
        ("...", "a b", 0.0),
        ("3.5", "3.5", 0.999999995),
    ],
)
def test_rouge_of_sets_examples(candidate, reference, expected):
    assert rouge_l_of_sets(candidate, reference) == expected


def test_texts_too_long_for_the_package():
    text = " ".join(f"w{i % 700}" for i in range(3000))
    assert rouge_l_of_sets(text, text) == 0.999999995


@given(WORDS, st.lists(WORDS, min_size=1, max_size=4))
def test_rouge_of_sequences_equals_pycocoevalcap(candidate, references):
    text, texts = " ".join(candidate), [" ".join(reference) for reference in references]
    # No words are one empty word to the package; here they score 0 whatever the references are.
    expected = CocoRouge().calc_score([text], texts) if text else 0.0
    assert rouge_l_of_sequences(text, texts) == pytest.approx(expected, abs=1e-15)
