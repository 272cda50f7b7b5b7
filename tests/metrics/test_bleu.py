"""BLEU equals that of pycocoevalcap."""

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


def test_the_shorter_of_two_equally_near_references_counts():
    assert bleu_statistics(count_ngrams(["a b c"], [["a b c d", "a b"]]))[0, -1] == 2
