"""ROUGE-L twice: as the package `rouge` 1.0.1 has it (protocol `sam`), and as pycocoevalcap does (protocol `coco`)."""

from collections.abc import Sequence

from lavis_sam.metrics.lcs import lcs_length, lcs_words

_EPSILON = 1e-8
_BETA = 1.2


def sentences(text: str) -> list[list[str]]:
    """The sentences that the `rouge` package sees: what periods separate, split into words.

    A sentence of white space has one empty word; an empty one does not exist, so that nothing but periods has none.
    """
    return [sentence.split() or [""] for sentence in text.split(".") if sentence]


def rouge_l_of_sets(candidate: str, reference: str) -> float:
    """F-measure of the `rouge` package: common words of all pairs of sentences, in order, but counted as sets.

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
    """F-measure of pycocoevalcap: the best precision and the best recall over the references, recall weighing more.

    Args:
        candidate: Tokens joined by spaces.
        references: At least one text of the same kind.
    """
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
