"""BLEU-4 as pycocoevalcap computes it: clipped n-gram precisions, the closest reference length, next to no smoothing.

A corpus' score is not the mean of its samples' scores; it comes from the sums of their statistics, and so does the
score of any part of it or of a resample.
"""

import numpy as np

from lavis_sam.metrics.metric import Metric, Texts
from lavis_sam.metrics.ngrams import MAX_ORDER, Corpus, Floats, Integers

# What the original adds so that nothing is divided by zero and 0 / 0 is (nearly) 0.
_SMALL, _TINY = 1e-9, 1e-15


def bleu_statistics(corpus: Corpus) -> Floats:
    """Return what BLEU needs to know about each sample.

    Returns:
        [C, 10]: correct n-grams and n-grams of order 1 to 4, words of the candidate, words of the closest reference.
    """
    correct = np.zeros((corpus.samples, MAX_ORDER))
    for order, overlap in enumerate(corpus.overlaps):
        met = overlap.partner >= 0
        best = np.zeros(len(overlap.candidates.count), dtype=np.int64)
        np.maximum.at(best, overlap.partner[met], overlap.references.count[met])
        clipped = np.minimum(overlap.candidates.count, best)
        correct[:, order] = np.bincount(overlap.candidates.text, weights=clipped, minlength=corpus.samples)
    words = corpus.candidate_words
    ngrams = np.maximum(words[:, None] - np.arange(MAX_ORDER), 0)
    return np.column_stack([correct, ngrams, words, _closest_length(corpus)])


def _closest_length(corpus: Corpus) -> Integers:
    """Return [C] the reference length nearest to the candidate's, the shorter of two that are equally near."""
    distance = np.abs(corpus.reference_words - corpus.candidate_words[corpus.sample])
    order = np.lexsort((corpus.reference_words, distance, corpus.sample))
    firsts = np.unique(corpus.sample[order], return_index=True)[1]
    return corpus.reference_words[order][firsts]


def bleu4(statistics: Floats) -> Floats:
    """Return BLEU-4 of samples, or of sums over samples.

    Args:
        statistics: [..., 10], see `bleu_statistics`.

    Returns:
        [...], between 0 and 1.
    """
    return bleu_scores(statistics)[..., -1]


def bleu_scores(statistics: Floats) -> Floats:
    """Return BLEU-1 to BLEU-4: [..., 10] -> [..., 4]; see `bleu4`."""
    correct, ngrams = statistics[..., :MAX_ORDER], statistics[..., MAX_ORDER : 2 * MAX_ORDER]
    words, reference_words = statistics[..., -2], statistics[..., -1]
    products = np.cumprod((correct + _TINY) / (ngrams + _SMALL), axis=-1)
    scores = products ** (1.0 / np.arange(1, MAX_ORDER + 1))
    ratio = (words + _TINY) / (reference_words + _SMALL)
    penalty = np.where(ratio < 1, np.exp(np.minimum(1 - 1 / ratio, 0)), 1.0)
    return scores * penalty[..., None]


def _of_library(texts: Texts) -> tuple[float, list[float]]:
    from pycocoevalcap.bleu.bleu import Bleu

    corpus, samples = Bleu(MAX_ORDER).compute_score(*texts.as_pycocoevalcap(), verbose=0)
    return float(corpus[-1]), samples[-1]


BLEU_4 = Metric(
    "bleu4", lambda texts: bleu_statistics(texts.ngrams), lambda sums, _: bleu4(sums), "BLEU-4", _of_library
)
