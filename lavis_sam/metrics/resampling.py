"""How sure a score is, and a difference of two: bootstrap intervals and paired tests over the samples.

Resampled are samples. ROUGE-L and CIDEr of a resample are means over it, BLEU-4 comes from its summed statistics. CIDEr
keeps each sample's score, and with it the document frequencies of the whole corpus: a resample's own would make doubled
samples look common. The draws are `scipy.stats.bootstrap`'s, one resample at a time (a block of 1,000 draws of 50,000
indices would take 400 MB); from the same seed they are those of `numpy`'s generator asked directly, at the same speed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lavis_sam.errors import SamConfigurationError, SamDataError
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
        difference: Second minus first.
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
    """Return bootstrap intervals of the corpus scores.

    Args:
        resamples: How many times n samples are drawn with replacement.

    Raises:
        SamConfigurationError: An impossible `resamples` or `level`.
    """
    _check(resamples, level)
    samples = _Samples(scores)
    found = _bootstrap(
        lambda weights: samples.corpus(weights @ samples.statistics), len(samples), resamples, level, seed
    )
    return dict(zip(scores.statistics, found, strict=True))


def paired_differences(
    first: Scores, second: Scores, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Difference]:
    """Compare two models sample by sample.

    The interval is a paired bootstrap (the same draw for both). The p-value is a permutation test: the two answers of
    each sample are exchanged by the toss of a coin, and counted is how often the difference gets at least as large.

    Args:
        resamples: How many draws, and how many exchanges.

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
    one, two = _Samples(first), _Samples(second)

    def gained(weights: Floats) -> Floats:
        difference: Floats = two.corpus(weights @ two.statistics) - one.corpus(weights @ one.statistics)
        return difference

    found = _bootstrap(gained, len(one), resamples, level, seed)
    corpora = (samples.corpus(samples.statistics.sum(axis=0)) for samples in (one, two))
    rows = zip(*corpora, found, _permutation_test(one, two, resamples, seed), strict=True)
    return {
        name: Difference(100 * float(a), 100 * float(b), 100 * float(b - a), interval, float(p))
        for name, (a, b, interval, p) in zip(first.statistics, rows, strict=True)
    }


def _check(resamples: int, level: float) -> None:
    if resamples < 1:
        raise SamConfigurationError(f"resamples: found {resamples}, wanted at least 1.")
    if not 0 < level < 1:
        raise SamConfigurationError(f"level: found {level}, wanted a number between 0 and 1.")


class _Samples:
    """The statistics of all metrics side by side, so that one product sums all of them.

    Attributes:
        statistics: [n, sum of the metrics' F].
    """

    def __init__(self, scores: Scores) -> None:
        self.statistics = np.column_stack(list(scores.statistics.values()))
        widths = [values.shape[1] for values in scores.statistics.values()]
        ends = np.cumsum(widths)
        self._parts = [
            (METRICS[name], slice(end - width, end))
            for name, width, end in zip(scores.statistics, widths, ends, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.statistics)

    def corpus(self, sums: Floats) -> Floats:
        """Turn sums over n samples into the score of each metric."""
        return np.array([metric.corpus(sums[part], len(self)) for metric, part in self._parts])


def _bootstrap(
    scores: Callable[[Floats], Floats], count: int, resamples: int, level: float, seed: int
) -> list[Interval]:
    """Return an interval for each of the scores that ([n] how often each sample was drawn) gives."""
    # Half a second of imports, for those who want intervals.
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    def statistic(indices: NDArray[np.int64], axis: int) -> Floats:
        weights = np.bincount(indices.ravel(), minlength=count).astype(float)
        return scores(weights).reshape(-1, *indices.shape[:-1])

    everything = np.arange(count)
    if count == 1:  # scipy wants two samples at least; every draw of one is that one
        low = high = scores(np.ones(1))
    else:
        low, high = bootstrap(
            (everything,),
            statistic,
            n_resamples=resamples,
            batch=1,
            vectorized=True,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return [Interval(100 * float(a), 100 * float(b)) for a, b in zip(low, high, strict=True)]


def _permutation_test(one: _Samples, two: _Samples, resamples: int, seed: int) -> Floats:
    """Return the metrics' p-values; the observed difference counts as one of the exchanges, so none is 0."""
    # A seed of its own, so that the p-value does not depend on whether intervals were drawn before.
    generator = np.random.default_rng([seed, 1])
    gain = two.statistics - one.statistics
    base, top = one.statistics.sum(axis=0), two.statistics.sum(axis=0)
    observed = np.abs(one.corpus(top) - one.corpus(base))
    larger = np.zeros(len(observed))
    for _ in range(resamples):
        exchanged = generator.integers(2, size=len(one)) @ gain
        difference = np.abs(one.corpus(top - exchanged) - one.corpus(base + exchanged))
        # Sums in another order differ in the last digits.
        larger += difference >= observed * (1 - 1e-9) - 1e-12
    return (larger + 1) / (resamples + 1)
