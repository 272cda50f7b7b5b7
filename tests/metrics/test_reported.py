"""What is reported is what the libraries compute; ours must agree."""

import json
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.scoring import score_as_sam
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.metrics import rouge
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import METRICS, PROTOCOLS, TOLERANCE, score

FIXTURES = Path(__file__).parent / "fixtures"
WORDS = ["dog", "cat", "runs", "sits", "red", "blue", "the", "a", "in", "park", "don't", "3.5", "U.S.", "well-known"]


def answers(count, *, longest=20, seed=0):
    generator = random.Random(seed)
    texts = [" ".join(generator.choices(WORDS, k=generator.randint(1, longest))) for _ in range(2 * count)]
    return [Prediction(i, texts[2 * i], texts[2 * i + 1], (texts[2 * i + 1],)) for i in range(count)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_reported_scores_are_the_libraries_and_equal_ours(protocol):
    scores = score(answers(200), protocol)
    assert scores.reported.corpus == pytest.approx(scores.corpus(), abs=TOLERANCE)
    assert 0 <= scores.reported.largest_difference <= TOLERANCE
    if protocol == "sam":
        corpus, _ = score_as_sam([(p.text, p.truth) for p in answers(200)])
        assert scores.reported.corpus == corpus


@pytest.mark.integration
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_libraries_and_statistics_agree_on_50_000_answers(protocol):
    assert score(answers(50_000), protocol).reported.largest_difference <= TOLERANCE


@pytest.mark.parametrize("what", ["corpus", "sample"])
def test_a_library_that_says_something_else_is_an_error(monkeypatch, what):
    def other(texts):
        corpus, samples = METRICS["cider"].library(texts)
        return (corpus + 1e-8, samples) if what == "corpus" else (corpus, [*samples[:-1], samples[-1] + 1e-8])

    monkeypatch.setitem(METRICS, "bleu4", replace(METRICS["cider"], name="bleu4", title="Mine", library=other))
    with pytest.raises(SamDataError, match=r"Mine under protocol sam: the library and lavis_sam differ by 1e-0"):
        score(answers(5)).reported  # noqa: B018 - asked for


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_texts_of_hundreds_of_words_pass_the_libraries(protocol):
    """The package `rouge` calls itself once a word, more often than Python allows by default."""
    before = sys.getrecursionlimit()
    long = [*answers(3, longest=900, seed=1), Prediction("long", "a b " * 400, "b a c " * 300, ("b a c " * 300,))]
    assert score(long, protocol).reported.largest_difference <= TOLERANCE
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_texts_beyond_the_libraries_are_scored_by_ours_and_said_so(protocol, monkeypatch, caplog):
    monkeypatch.setattr(rouge, "_MOST_ENTRIES", 20)
    scores = score([Prediction(1, "a b c d e", "a b x d f", ("a b x d f",)), Prediction(2, "a", "a", ("a",))], protocol)
    assert scores.reported.corpus["rouge"] == pytest.approx(scores.corpus()["rouge"])
    assert "1 text(s) are too long" in caplog.text


@pytest.mark.parametrize("nothing", ["", "...", "." * 40])
def test_an_empty_prediction_is_0_without_asking_the_package(nothing):
    scores = score([Prediction(1, nothing, "a b", ("a b",)), Prediction(2, "a", "a", ("a",))])
    assert scores.reported.corpus["rouge"] == pytest.approx(50, abs=1e-6)


def test_the_tokenizers_that_a_protocol_has():
    with pytest.raises(SamConfigurationError, match="protocol sam: found 'stanford', wanted python"):
        score(answers(2), "sam", "stanford")
    with pytest.raises(SamConfigurationError, match="found 'nltk', wanted python or stanford"):
        score(answers(2), "coco", "nltk")


def test_without_java_stanford_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SamConfigurationError, match="found no `java`"):
        score(answers(2), "coco", "stanford")


@pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")
def test_stanfords_tokens_score_as_ours():
    predictions = [*answers(20), Prediction("none", " ", "a dog, in (the) park", ("a dog, in (the) park",))]
    ours, stanford = score(predictions, "coco"), score(predictions, "coco", "stanford")
    assert stanford.texts == ours.texts
    assert stanford.as_dict()["tokenizer"] == "stanford"
    assert json.dumps(stanford.as_dict()["corpus"]) == json.dumps(ours.as_dict()["corpus"])
