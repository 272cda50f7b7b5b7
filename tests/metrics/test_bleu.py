import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.scoring import cider_and_bleu
from lavis_sam.metrics.bleu import bleu4, bleu_scores, bleu_statistics
from lavis_sam.metrics.cider import cider_scores
from lavis_sam.metrics.ngrams import count_ngrams

TEXT = st.lists(st.sampled_from(["a", "b", "c", "dd", "e"]), max_size=9).map(" ".join)
REFERENCES = st.lists(TEXT.filter(bool), min_size=1, max_size=3)
CORPUS = st.lists(st.tuples(TEXT, REFERENCES), min_size=1, max_size=6)


@given(CORPUS)
@settings(max_examples=300, deadline=None)
def test_both_equal_pycocoevalcap(corpus):
    candidates, references = [c for c, _ in corpus], [r for _, r in corpus]
    cider, ciders, bleu, bleus = cider_and_bleu(candidates, references)
    counted = count_ngrams(candidates, references)
    statistics = bleu_statistics(counted)
    assert cider_scores(counted).tolist() == pytest.approx(ciders, abs=1e-12)
    assert cider_scores(counted).mean() == pytest.approx(cider, abs=1e-12)
    assert bleu4(statistics).tolist() == pytest.approx(bleus, rel=1e-12, abs=1e-15)
    assert bleu_scores(statistics.sum(axis=0)).tolist() == pytest.approx(bleu, rel=1e-12, abs=1e-15)


def test_words_are_what_any_white_space_separates():
    one, other = count_ngrams(["a\u00a0b c"], [["a b\tc"]]), count_ngrams(["a b c"], [["a b c"]])
    assert bleu_statistics(one).tolist() == bleu_statistics(other).tolist()


def test_counts_by_hand():
    counted = count_ngrams(["a b a b", ""], [["a b", "b a b"], ["c"]])
    bigrams = counted.overlaps[1]
    assert counted.candidate_words.tolist() == [4, 0]
    assert counted.reference_words.tolist() == [2, 3, 1]
    assert counted.sample.tolist() == [0, 0, 1]
    assert sorted(bigrams.candidates.count.tolist()) == [1, 2]  # b a once, a b twice
    assert len(bigrams.references.count) == 3
    assert (bigrams.partner >= 0).all()
    # correct and possible n-grams of order 1 to 4, words, words of the closest reference
    assert bleu_statistics(counted)[0].tolist() == [3, 2, 1, 0, 4, 3, 2, 1, 4, 3]


def test_the_shorter_of_two_equally_near_references_counts():
    assert bleu_statistics(count_ngrams(["a b c"], [["a b c d", "a b"]]))[0, -1] == 2


def test_cider_of_one_sample_or_equal_references_is_zero():
    assert cider_scores(count_ngrams(["a b c d"], [["a b c d"]])).tolist() == [0.0]
    assert cider_scores(count_ngrams(["a b", "a b"], [["a b"], ["a b"]])).tolist() == [0.0, 0.0]


def test_nothing_anywhere_scores_zero():
    counted = count_ngrams(["", ""], [["a"], ["b"]])
    assert cider_scores(counted).tolist() == [0.0, 0.0]
    assert bleu4(bleu_statistics(counted)).tolist() == [0.0, 0.0]
    assert np.isfinite(bleu_statistics(counted)).all()
