import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.scoring import score_as_coco, score_as_sam
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.metrics.predictions import Prediction, parse_predictions
from lavis_sam.metrics.protocols import METRICS, PROTOCOLS, score
from lavis_sam.metrics.ptb import ptb_tokens
from lavis_sam.metrics.sam_text import normalise

FIXTURES = Path(__file__).parent / "fixtures"
BEST_ROUGE = {"sam": 0.999999995, "coco": 1.0}


def make(*pairs, references=None):
    """Predictions of (text, truth) pairs, named 0, 1, 2, …"""
    return [Prediction(i, text, truth, (truth, *(references or ()))) for i, (text, truth) in enumerate(pairs)]


@pytest.mark.parametrize("name", ["caption", "story"])
def test_the_authors_scores_to_1e_6(name):
    stored = json.loads((FIXTURES / f"metrics_{name}.json").read_text("utf-8"))
    predictions = parse_predictions(stored["predictions"], place=name)
    scores = score(predictions, "sam")
    exact = stored["corpus_unrounded"]
    wanted = {"rouge": exact["rouge"], "cider": exact["cider"], "bleu4": exact["bleu"][3]}
    assert scores.corpus() == pytest.approx(wanted, abs=1e-6)
    assert {metric: round(value, 2) for metric, value in scores.corpus().items()} == stored["corpus"]
    assert [row["id"] for row in scores.per_sample()] == [row["id"] for row in stored["per_sample"]]
    for ours, theirs in zip(scores.per_sample(), stored["per_sample"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    for prediction, theirs in zip(predictions, stored["processed"], strict=True):
        assert (normalise(prediction.text), normalise(prediction.truth)) == (theirs["pred"], theirs["gt"])


TEXTS = st.text(st.sampled_from(list("aabbcd1.  ,-'/")), min_size=1, max_size=30)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_sam_equals_the_libraries_on_any_texts(pairs):
    # What the `rouge` package refuses is what is tested below.
    pairs = [(p, r) for p, r in pairs if normalise(r).strip(".") and (normalise(p).strip(".") or not normalise(p))]
    if not pairs:
        return
    corpus, samples = score_as_sam(pairs)
    scores = score(make(*pairs), "sam")
    assert scores.corpus() == pytest.approx(corpus, abs=1e-9)
    for ours, theirs in zip(scores.per_sample(), samples, strict=True):
        assert {metric: ours[metric] for metric in METRICS} == pytest.approx(theirs, abs=1e-12)


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_coco_equals_pycocoevalcap_on_the_same_tokens(samples):
    samples = [(text, references) for text, references in samples if all(map(ptb_tokens, references))]
    if not samples:
        return
    predictions = [Prediction(i, text, refs[0], tuple(refs)) for i, (text, refs) in enumerate(samples)]
    corpus, rows = score_as_coco(
        [" ".join(ptb_tokens(text)) for text, _ in samples],
        [[" ".join(ptb_tokens(text)) for text in references] for _, references in samples],
    )
    scores = score(predictions, "coco")
    assert scores.corpus() == pytest.approx(corpus, abs=1e-9)
    for ours, theirs in zip(scores.per_sample(), rows, strict=True):
        assert {metric: ours[metric] for metric in METRICS} == pytest.approx(theirs, abs=1e-12)


def test_only_coco_looks_at_further_references():
    one = make(("a big dog runs", "some cat sits here"), ("b", "c d"))
    more = make(("a big dog runs", "some cat sits here"), ("b", "c d"), references=["a big dog runs"])
    assert score(one, "sam").corpus() == score(more, "sam").corpus()
    assert score(more, "coco").per_sample()[0]["rouge"] == 1.0
    assert score(one, "coco").per_sample()[0]["rouge"] == 0.0


WORD = st.text(st.sampled_from("abcdef"), min_size=1, max_size=3)
LONG = st.lists(WORD, min_size=4, max_size=9).map(" ".join)
CORPUS = st.lists(st.tuples(LONG, LONG), min_size=2, max_size=6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(corpus=CORPUS, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_order_of_samples_does_not_matter(protocol, corpus, seed):
    predictions = make(*corpus)
    shuffled = random.Random(seed).sample(predictions, len(predictions))
    one, other = score(predictions, protocol), score(shuffled, protocol)
    assert one.corpus() == pytest.approx(other.corpus(), rel=1e-12)
    by_id = {row["id"]: row for row in other.per_sample()}
    for row in one.per_sample():
        assert row == pytest.approx(by_id[row["id"]], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(corpus=CORPUS)
@settings(max_examples=60, deadline=None)
def test_nothing_scores_more_than_the_truth(protocol, corpus):
    perfect = score(make(*((truth, truth) for _, truth in corpus)), protocol)
    other = score(make(*corpus), protocol)
    assert perfect.statistics["rouge"].ravel().tolist() == [BEST_ROUGE[protocol]] * len(corpus)
    assert perfect.corpus()["bleu4"] == pytest.approx(100)
    for metric in METRICS:
        assert other.corpus()[metric] <= perfect.corpus()[metric] + 1e-9
        for ours, best in zip(other.per_sample(), perfect.per_sample(), strict=True):
            assert ours[metric] <= best[metric] + 1e-9


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_perfect_samples_have_a_cider_of_1000(protocol):
    corpus = score(make(("a b c d e", "a b c d e"), ("v w x y z", "v w x y z")), protocol).corpus()
    assert corpus["cider"] == pytest.approx(1000)
    assert corpus["rouge"] == pytest.approx(100, abs=1e-6)
    assert corpus["bleu4"] == pytest.approx(100, abs=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("nothing", ["", "   ", "...", "?", "''", "." * 40])
def test_a_prediction_of_which_nothing_is_left_scores_zero(protocol, nothing):
    scores = score(make((nothing, "a dog runs fast"), ("a cat", "a cat")), protocol)
    row = scores.per_sample()[0]
    assert (row["rouge"], row["cider"], row["bleu4"]) == (0.0, 0.0, 0.0)
    assert all(map(math.isfinite, scores.corpus().values()))


@pytest.mark.parametrize(
    ("protocol", "nothing"),
    [
        *((name, text) for name in PROTOCOLS for text in ("", " \n")),
        *(("sam", text) for text in ("...", "?", "." * 33)),
    ],
)
def test_protocols_refuse_an_empty_reference_by_id(protocol, nothing):
    with pytest.raises(SamDataError, match=r"1 sample\(s\) have an empty reference.*: 1\. Nothing"):
        score(make(("a", "b"), ("a", nothing)), protocol)


@pytest.mark.parametrize("nothing", ["...", "?", "''", "- -- ;"])
@pytest.mark.parametrize("answer", ["a red dog", "", "?!"])
def test_protocols_score_0_under_coco_without_a_word_of_reference(nothing, answer, caplog):
    """One such sample keeps no other from its score; the libraries have the same numbers."""
    others = [("a b c d e", "a b c d e"), ("v w x y z", "v w x y z")]
    scores = score(make((answer, nothing), *others), "coco")
    assert scores.per_sample()[0] == pytest.approx({"id": 0, "rouge": 0, "cider": 0, "bleu4": 0}, abs=1e-8)
    assert scores.reported.largest_difference < 1e-9
    assert scores.corpus()["rouge"] == pytest.approx(200 / 3)
    assert "1 sample(s) score 0, because protocol coco leaves nothing of any reference: 0." in caplog.text


def test_protocols_refuse_a_corpus_without_a_word_of_reference():
    with pytest.raises(SamDataError, match=r"2 sample\(s\) have an empty reference"):
        score(make(("a", "."), ("b", "!")), "coco")


@pytest.mark.parametrize("references", [("a red dog", "."), ("", "a red dog"), ("? !", " ", "a red dog", "...")])
def test_protocols_leave_empty_references_out_where_another_remains(references, caplog):
    other = Prediction("y", "one two three four", "z", ("one two three four",))
    found = score([Prediction("x", "a red cat", "b", references), other], "coco")
    wanted = score([Prediction("x", "a red cat", "b", ("a red dog",)), other], "coco")
    assert found.as_dict() == wanted.as_dict()
    assert "1 sample(s) have references of which protocol coco leaves nothing; these references are left out: 'x'" in (
        caplog.text
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_corpus_of_one_sample(protocol):
    corpus = score(make(("a b c d", "a b c d")), protocol).corpus()
    assert corpus["cider"] == 0.0
    assert corpus["bleu4"] == pytest.approx(100, abs=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "corpus", [[("a b", "a b")], [("a", "x y")], [("a b c", "a b c"), ("d", "a b c")], [("a", "b"), ("a", "c")]]
)
def test_scores_say_once_why_a_cider_is_0(protocol, corpus, caplog):
    scores = score(make(*corpus), protocol)
    assert "CIDEr" not in caplog.text  # a check before anything is answered scores too, and says nothing
    same = len({truth for _, truth in corpus}) == 1
    assert scores.reported.corpus["cider"] == scores.as_dict()["corpus"]["cider"] == 0
    assert caplog.text.count("document frequency") == same


def test_more_than_32_periods():
    text = "It is red. " * 40
    corpus, samples = score_as_sam([(text, text), ("b", "a b")])
    scores = score(make((text, text), ("b", "a b")), "sam")
    assert scores.corpus() == pytest.approx(corpus, abs=1e-9)
    assert scores.per_sample()[0]["rouge"] == samples[0]["rouge"] == 0.999999995


def test_refusals():
    with pytest.raises(SamConfigurationError, match=r"'bleu'.*sam, coco"):
        score(make(("a", "b")), "bleu")
    with pytest.raises(SamDataError, match="found 0 predictions"):
        score([], "sam")
    with pytest.raises(SamDataError, match="occur more than once: 7"):
        score([Prediction(7, "a", "b", ("b",)), Prediction("7", "a", "b", ("b",))], "sam")


def test_plain_data():
    data = score(make(("a dog", "a dog"), ("b", "c")), "sam").as_dict()
    assert list(data) == ["protocol", "corpus", "largest_difference", "per_sample", "count"]
    assert list(data["corpus"]) == ["rouge", "cider", "bleu4"]
    assert list(data["per_sample"][0]) == ["id", "rouge", "cider", "bleu4"]
    assert json.loads(json.dumps(data)) == data
