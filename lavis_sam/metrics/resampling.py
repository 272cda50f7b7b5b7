"""How sure a score is, and a difference of two: bootstrap intervals and paired tests over the samples.

Resampled are samples. ROUGE-L and CIDEr of a resample are means over it, BLEU-4 comes from its summed statistics. CIDEr
keeps each sample's score, and with it the document frequencies of the whole corpus: a resample's own would make doubled
samples look common.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.metrics.bleu import bleu4
from lavis_sam.metrics.ngrams import Floats
from lavis_sam.metrics.protocols import METRICS, Scores

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile interval, x100."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the same samples, x100.

    Attributes:
        first: The first model's score.
        second: The second model's score.
        difference: Second minus first.
        interval: Bootstrap interval of the difference.
        p_value: Two-sided, of the hypothesis that it does not matter which of the two gave which answer.
    """

    first: float
    second: float
    difference: float
    interval: Interval
    p_value: float


def intervals(
    scores: Scores, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Bootstrap intervals of the corpus scores.

    Args:
        scores: Of n samples.
        resamples: How many times n samples are drawn with replacement.
        level: Between 0 and 1.
        seed: Of the draws.

    Raises:
        SamConfigurationError: An impossible `resamples` or `level`.
    """
    _check(resamples, level)
    statistics = _statistics(scores)
    drawn = [_corpus(weights @ statistics, len(scores.ids)) for weights in _bootstrap(len(scores.ids), resamples, seed)]
    return dict(zip(METRICS, _percentiles(np.array(drawn), level), strict=True))


def paired_differences(
    first: Scores, second: Scores, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Difference]:
    """Compare two models sample by sample.

    The interval is a paired bootstrap (the same draw for both). The p-value is a permutation test: the two answers of
    each sample are exchanged by the toss of a coin, and counted is how often the difference gets at least as large.

    Args:
        first: Scores of n samples.
        second: Scores of the same samples in the same order.
        resamples: How many draws, and how many exchanges.
        level: Of the intervals, between 0 and 1.
        seed: Of draws and exchanges.

    Raises:
        SamConfigurationError: An impossible `resamples` or `level`.
        SamDataError: Other samples, or another protocol.
    """
    _check(resamples, level)
    if first.protocol != second.protocol or list(map(str, first.ids)) != list(map(str, second.ids)):
        raise SamDataError(
            f"found {len(first.ids)} samples under protocol {first.protocol} and {len(second.ids)} under "
            f"{second.protocol}, wanted the same samples in the same order under one protocol."
        )
    count = len(first.ids)
    one, two = _statistics(first), _statistics(second)
    drawn = [
        _corpus(weights @ two, count) - _corpus(weights @ one, count) for weights in _bootstrap(count, resamples, seed)
    ]
    one_corpus, two_corpus = _corpus(one.sum(axis=0), count), _corpus(two.sum(axis=0), count)
    p_values = _permutation_test(one, two, resamples, seed)
    rows = zip(one_corpus, two_corpus, _percentiles(np.array(drawn), level), p_values, strict=True)
    return {
        name: Difference(100 * float(a), 100 * float(b), 100 * float(b - a), interval, float(p))
        for name, (a, b, interval, p) in zip(METRICS, rows, strict=True)
    }


def _check(resamples: int, level: float) -> None:
    if resamples < 1:
        raise SamConfigurationError(f"resamples: found {resamples}, wanted at least 1.")
    if not 0 < level < 1:
        raise SamConfigurationError(f"level: found {level}, wanted a number between 0 and 1.")


def _statistics(scores: Scores) -> Floats:
    """[n, 12] what is summed over samples: ROUGE-L, CIDEr and the statistics of BLEU."""
    return np.column_stack([scores.rouge, scores.cider, scores.bleu])


def _corpus(sums: Floats, count: int) -> Floats:
    """[12] sums over `count` samples -> [3] corpus scores."""
    return np.array([sums[0] / count, sums[1] / count, bleu4(sums[2:])])


def _bootstrap(count: int, resamples: int, seed: int) -> Iterator[Floats]:
    """[n] how often each sample was drawn, `resamples` times."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(count, size=count), minlength=count).astype(float)


def _percentiles(drawn: Floats, level: float) -> list[Interval]:
    """[resamples, 3] -> an interval for each metric."""
    low, high = 100 * np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _permutation_test(one: Floats, two: Floats, resamples: int, seed: int) -> Floats:
    """[3] p-values; the observed difference counts as one of the exchanges, so none is 0."""
    count = len(one)
    # A seed of its own, so that the p-value does not depend on whether intervals were drawn before.
    generator = np.random.default_rng([seed, 1])
    gain, base, top = two - one, one.sum(axis=0), two.sum(axis=0)
    observed = np.abs(_corpus(top, count) - _corpus(base, count))
    larger = np.zeros(len(METRICS))
    for _ in range(resamples):
        exchanged = generator.integers(2, size=count) @ gain
        difference = np.abs(_corpus(top - exchanged, count) - _corpus(base + exchanged, count))
        # Sums in another order differ in the last digits.
        larger += difference >= observed * (1 - 1e-9) - 1e-12
    return (larger + 1) / (resamples + 1)
