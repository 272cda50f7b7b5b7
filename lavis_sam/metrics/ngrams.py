"""N-grams of many texts at once, as arrays: what BLEU and CIDEr both count.

Counting text by text in dictionaries is most of the time that the reference implementations take. Here every word, and
then every n-gram, gets a number, and sorting finds the repetitions.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_ORDER = 4

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class NgramCounts:
    """How often each n-gram of one order occurs in each text; E entries, in the order of (text, n-gram).

    Attributes:
        text: [E] number of the text.
        ngram: [E] number of the n-gram, the same number in all texts.
        count: [E] occurrences, at least 1.
    """

    text: Integers
    ngram: Integers
    count: Integers


@dataclass(frozen=True)
class Overlap:
    """The n-grams of one order in C candidates and in their R references.

    Attributes:
        candidates: Entries of the candidates; `text` counts candidates.
        references: Entries of the references; `text` counts references.
        partner: [entries of `references`] the candidate entry of the same sample and n-gram, -1 where there is none.
        vocabulary: More than the largest number of an n-gram.
    """

    candidates: NgramCounts
    references: NgramCounts
    partner: Integers
    vocabulary: int


@dataclass(frozen=True)
class Corpus:
    """C candidates and R references, counted.

    Attributes:
        candidate_words: [C] words of each candidate.
        reference_words: [R] words of each reference.
        sample: [R] the candidate that each reference belongs to; ascending.
        overlaps: One for each order 1 to 4.
    """

    candidate_words: Integers
    reference_words: Integers
    sample: Integers
    overlaps: tuple[Overlap, ...]

    @property
    def samples(self) -> int:
        """C, the number of candidates."""
        return len(self.candidate_words)


def count_ngrams(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Corpus:
    """Count the n-grams of order 1 to 4.

    Args:
        candidates: C texts; words are what white space separates.
        references: C non-empty sequences of texts.
    """
    words = [text.split() for text in chain(candidates, chain.from_iterable(references))]
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    flat = np.fromiter(map(numbers.__getitem__, chain.from_iterable(words)), np.int64, int(lengths.sum()))
    per_sample = np.fromiter(map(len, references), np.int64, len(references))
    sample = np.repeat(np.arange(len(references)), per_sample)
    return Corpus(
        candidate_words=lengths[: len(candidates)],
        reference_words=lengths[len(candidates) :],
        sample=sample,
        overlaps=tuple(_overlaps(flat, lengths, max(len(numbers), 1), sample, len(candidates))),
    )


def _overlaps(
    flat: Integers, lengths: Integers, vocabulary: int, sample: Integers, candidates: int
) -> Iterator[Overlap]:
    """Order by order, from the numbers of all words in a row; an n-gram is an (n - 1)-gram and a word."""
    text = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(flat))
    words_left = np.repeat(np.cumsum(lengths), lengths) - position
    ngram, known = flat, vocabulary
    yield _overlap(text, ngram, known, sample, candidates)
    for order in range(2, MAX_ORDER + 1):
        long_enough = words_left >= order
        text, position, words_left = text[long_enough], position[long_enough], words_left[long_enough]
        unique, ngram = np.unique(ngram[long_enough] * vocabulary + flat[position + order - 1], return_inverse=True)
        known = max(len(unique), 1)
        yield _overlap(text, ngram, known, sample, candidates)


def _overlap(text: Integers, ngram: Integers, vocabulary: int, sample: Integers, candidates: int) -> Overlap:
    """Count the repetitions in each text and find for each reference's n-gram the candidate's."""
    entries, counts = np.unique(text * vocabulary + ngram, return_counts=True)
    texts, ngrams = np.divmod(entries, vocabulary)
    border = int(np.searchsorted(texts, candidates))
    of_candidates = NgramCounts(texts[:border], ngrams[:border], counts[:border])
    of_references = NgramCounts(texts[border:] - candidates, ngrams[border:], counts[border:])
    wanted = sample[of_references.text] * vocabulary + of_references.ngram
    partner = np.searchsorted(entries[:border], wanted)
    partner[partner == border] = -1
    partner[entries[partner] != wanted] = -1
    return Overlap(of_candidates, of_references, partner, vocabulary)
