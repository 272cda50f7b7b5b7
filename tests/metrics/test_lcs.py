"""The longest common subsequence is the one that the package finds."""

from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.rouge.rouge import my_lcs
from rouge.rouge_score import _recon_lcs

from lavis_sam.metrics.lcs import lcs_length, lcs_words

# Few words, so that they repeat and several longest common subsequences exist.
WORDS = st.lists(st.sampled_from("abcd"), max_size=14)


@given(WORDS, WORDS)
@settings(max_examples=400)
def test_the_subsequence_is_the_one_that_the_package_finds(reference, candidate):
    assert lcs_words(reference, candidate) == _recon_lcs(reference, candidate)._ngrams
    assert lcs_length(reference, candidate) == my_lcs(reference, candidate)


def test_which_of_two_longest_subsequences_is_found():
    # "a b" and "a c" are both longest; the package ends up with the one below, and its words are what is counted.
    assert lcs_words(["a", "b", "c"], ["a", "c", "b"]) == _recon_lcs(["a", "b", "c"], ["a", "c", "b"])._ngrams
    assert lcs_words(["a", "b", "c"], ["a", "c", "b"]) in ({"a", "b"}, {"a", "c"})
