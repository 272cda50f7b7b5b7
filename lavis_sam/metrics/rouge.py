"""ROUGE-L twice: as the package `rouge` 1.0.1 has it (protocol `sam`), and as pycocoevalcap does (protocol `coco`)."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from lavis_sam.metrics.lcs import lcs_length, lcs_words
from lavis_sam.metrics.metric import Metric, Texts, mean
from lavis_sam.metrics.ngrams import Floats

logger = logging.getLogger(__name__)

_EPSILON = 1e-8
_BETA = 1.2
# Both libraries fill a table of words by words, `rouge` a dictionary of tuples (about 200 bytes an entry) which it then
# walks by recursion, one call a word. Longer texts would take gigabytes or minutes; ours take a bit for an entry.
_MOST_ENTRIES, _MOST_WORDS = 1_000_000, 10_000


def sentences(text: str) -> list[list[str]]:
    """Return the sentences that the `rouge` package sees: what periods separate, split into words.

    A sentence of white space has one empty word; an empty one does not exist, so that nothing but periods has none.
    """
    return [sentence.split() or [""] for sentence in text.split(".") if sentence]


def rouge_l_of_sets(candidate: str, reference: str) -> float:
    """Return f-measure of the `rouge` package: common words of all pairs of sentences, in order, but counted as sets.

    A word that occurs twice counts once, and the best score is 0.999999995: the package adds to the denominator.

    Args:
        candidate: Normalised text; without any sentence it scores 0.
        reference: Normalised text with a sentence.
    """
    of_candidate, of_reference = sentences(candidate), sentences(reference)
    if not of_candidate:
        return 0.0
    common: set[str] = set()
    for reference_words in of_reference:
        for candidate_words in of_candidate:
            common |= lcs_words(reference_words, candidate_words)
    precision = len(common) / len({word for words in of_candidate for word in words})
    recall = len(common) / len({word for words in of_reference for word in words})
    return 2.0 * ((precision * recall) / (precision + recall + _EPSILON))


def rouge_l_of_sequences(candidate: str, references: Sequence[str]) -> float:
    """Return pycocoevalcap's F-measure: the references' best precision and best recall, recall weighing more.

    Args:
        candidate: Tokens joined by spaces; without any it scores 0, also where the reference has none.
        references: At least one text of the same kind.
    """
    if not candidate:
        return 0.0
    words = candidate.split(" ")
    precision = recall = 0.0
    for reference in references:
        reference_words = reference.split(" ")
        common = lcs_length(reference_words, words)
        precision = max(precision, common / len(words))
        recall = max(recall, common / len(reference_words))
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _statistics(texts: Texts) -> Floats:
    """Return [n, 1] ROUGE-L of each sample."""
    scores = map(partial(_ours, texts.protocol), texts.candidates, texts.references)
    return np.fromiter(scores, float, len(texts.candidates))[:, None]


def _ours(protocol: str, candidate: str, references: Sequence[str]) -> float:
    if protocol == "sam":
        return rouge_l_of_sets(candidate, references[0])
    return rouge_l_of_sequences(candidate, references)


def _of_library(texts: Texts) -> tuple[float, list[float]]:
    """Return corpus and samples as the libraries score them; texts that are too long for their tables, as ours does."""
    score = _of_rouge() if texts.protocol == "sam" else _of_pycocoevalcap()
    scores, too_long = [], 0
    with _deep_recursion():
        for candidate, references in zip(texts.candidates, texts.references, strict=True):
            words, most = candidate.count(" ") + 1, max(text.count(" ") + 1 for text in references)
            if words * most > _MOST_ENTRIES or words + most > _MOST_WORDS:
                scores.append(_ours(texts.protocol, candidate, references))
                too_long += 1
            else:
                scores.append(score(candidate, references))
    if too_long:
        logger.warning("ROUGE-L: %d text(s) are too long for the library's table and were scored by ours", too_long)
    return sum(scores) / len(scores), scores


def _of_rouge() -> Callable[[str, Sequence[str]], float]:
    from rouge import Rouge

    package = Rouge(metrics=["rouge-l"], stats=["f"])
    # The authors' script does not ask the package about an empty prediction, which it would refuse.
    return lambda text, truth: float(package.get_scores(text, truth[0])[0]["rouge-l"]["f"]) if text else 0.0


def _of_pycocoevalcap() -> Callable[[str, Sequence[str]], float]:
    from pycocoevalcap.rouge.rouge import Rouge

    package = Rouge()
    # To the package, no words are one empty word, which an empty reference has as well.
    return lambda text, references: float(package.calc_score([text], references)) if text else 0.0


@contextmanager
def _deep_recursion() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 2 * _MOST_WORDS))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


ROUGE_L = Metric("rouge", _statistics, mean, "ROUGE-L", _of_library)
