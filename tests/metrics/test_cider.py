"""CIDEr where there is little to score."""

import numpy as np

from lavis_sam.metrics.bleu import bleu4, bleu_statistics
from lavis_sam.metrics.cider import cider_scores
from lavis_sam.metrics.ngrams import count_ngrams


def test_cider_of_one_sample_or_equal_references_is_zero():
    assert cider_scores(count_ngrams(["a b c d"], [["a b c d"]])).tolist() == [0.0]
    assert cider_scores(count_ngrams(["a b", "a b"], [["a b"], ["a b"]])).tolist() == [0.0, 0.0]


def test_nothing_anywhere_scores_zero():
    counted = count_ngrams(["", ""], [["a"], ["b"]])
    assert cider_scores(counted).tolist() == [0.0, 0.0]
    assert bleu4(bleu_statistics(counted)).tolist() == [0.0, 0.0]
    assert np.isfinite(bleu_statistics(counted)).all()
