"""CIDEr as pycocoevalcap computes it (the variant with clipping and a length penalty, often called CIDEr-D).

Document frequencies come from the references of the corpus that is scored. So a corpus of one sample, or of samples
with the same references, has no rare n-grams and scores 0, and a sample's score depends on the other samples'
references.
"""

import numpy as np

from lavis_sam.metrics.metric import Metric, Texts, mean
from lavis_sam.metrics.ngrams import Corpus, Floats, Overlap

# Why a score of 0 is right; said wherever it is shown.
WHY_ZERO = (
    "CIDEr is 0, whatever the answers: it weighs an n-gram by how few samples' references have it (document "
    "frequency), and with one sample, or with the same references in all, no n-gram is rarer than another."
)
_SIGMA = 6.0
_SCALE = 10.0


def without_rarity(texts: Texts) -> bool:
    """Return whether no n-gram is rarer than another, so that every score is 0."""
    return len({frozenset(references) for references in texts.references}) == 1


def cider_scores(corpus: Corpus) -> Floats:
    """Return CIDEr of each sample.

    Returns:
        [C], between 0 and 10; the corpus' score is their mean.
    """
    similarity = np.mean([_similarity(overlap, corpus) for overlap in corpus.overlaps], axis=0)
    # The original counts pairs of words and calls their number the length.
    lengths = np.maximum(corpus.candidate_words - 1, 0)
    reference_lengths = np.maximum(corpus.reference_words - 1, 0)
    difference = (lengths[corpus.sample] - reference_lengths).astype(float)
    similarity = similarity * np.exp(-(difference**2) / (2 * _SIGMA**2))
    references = np.bincount(corpus.sample, minlength=corpus.samples)
    return _SCALE * np.bincount(corpus.sample, weights=similarity, minlength=corpus.samples) / references


def _similarity(overlap: Overlap, corpus: Corpus) -> Floats:
    """Return [R] clipped cosine similarity of each reference and its candidate, of tf-idf vectors of one order."""
    candidates, references = overlap.candidates, overlap.references
    # In how many samples' references an n-gram occurs; several references of a sample count once.
    pairs = np.sort(corpus.sample[references.text] * overlap.vocabulary + references.ngram)
    different = np.diff(pairs, prepend=-1) > 0
    frequency = np.bincount(pairs[different] % overlap.vocabulary, minlength=overlap.vocabulary)
    rarity = np.log(float(corpus.samples)) - np.log(np.maximum(frequency, 1))
    weight = candidates.count * rarity[candidates.ngram]
    reference_weight = references.count * rarity[references.ngram]
    norm = np.sqrt(np.bincount(candidates.text, weights=weight**2, minlength=corpus.samples))
    reference_norm = np.sqrt(
        np.bincount(references.text, weights=reference_weight**2, minlength=len(corpus.reference_words))
    )
    met = overlap.partner >= 0
    product = np.minimum(weight[overlap.partner[met]], reference_weight[met]) * reference_weight[met]
    product = np.bincount(references.text[met], weights=product, minlength=len(corpus.reference_words))
    norms = norm[corpus.sample] * reference_norm
    # Without entries `bincount` counts integers, whatever the weights; the output is a fresh array of floats.
    return np.divide(product, norms, out=np.zeros(len(norms)), where=norms != 0)


def _of_library(texts: Texts) -> tuple[float, list[float]]:
    from pycocoevalcap.cider.cider import Cider

    corpus, samples = Cider().compute_score(*texts.as_pycocoevalcap())
    return float(corpus), samples.tolist()


CIDER = Metric("cider", lambda texts: cider_scores(texts.ngrams)[:, None], mean, "CIDEr", _of_library)
