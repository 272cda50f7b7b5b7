"""n-grams are counted over white space."""

from lavis_sam.metrics.bleu import bleu_statistics
from lavis_sam.metrics.ngrams import count_ngrams


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
