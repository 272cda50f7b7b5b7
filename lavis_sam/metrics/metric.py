"""What a metric is: statistics of each sample, and how their sums over any samples make a score.

Scores of a corpus, of one sample, of a resample and of an exchange between two models all come from sums of the same
statistics. A new metric is one `lavis_sam.metrics.protocols.register` away:

    register(Metric("words", lambda texts: np.array([[len(text.split())] for text in texts.candidates]), mean))

It then stands in `lavis-sam score`, in run folders and tables, and `run.select_best_by` knows it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lavis_sam.metrics.ngrams import Corpus, Floats, count_ngrams


@dataclass(frozen=True)
class Texts:
    """What is compared: words joined by spaces, as a protocol prepares them.

    Attributes:
        protocol: Its name.
        candidates: n texts; "" where nothing of a prediction is left.
        references: n non-empty sequences of texts.
    """

    protocol: str
    candidates: Sequence[str]
    references: Sequence[Sequence[str]]

    @cached_property
    def ngrams(self) -> Corpus:
        """Their n-grams of order 1 to 4, counted once for all metrics."""
        return count_ngrams(self.candidates, self.references)

    def as_pycocoevalcap(self) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
        """Return references and candidates as pycocoevalcap's `compute_score` takes them."""
        return {i: list(texts) for i, texts in enumerate(self.references)}, {
            i: [text] for i, text in enumerate(self.candidates)
        }


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: Its name in files and settings.
        statistics: n samples' texts -> [n, F], what is summed over samples.
        corpus: (sums [..., F], number of samples in each sum) -> score [...], not x100.
        title: Its name in tables; by default `name`.
        library: The published library's own (corpus score, n samples' scores), which is what reports say; None for a
            metric that no library has.
    """

    name: str
    statistics: Callable[[Texts], Floats]
    corpus: Callable[[Floats, int], Floats]
    title: str = ""
    library: Callable[[Texts], tuple[float, Sequence[float]]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.name)

    def per_sample(self, statistics: Floats) -> Floats:
        """Turn [n, F] into [n] scores of the samples, not x100."""
        return self.corpus(statistics, 1)


def mean(sums: Floats, count: int) -> Floats:
    """Return the mean of a metric with one statistic: sums [..., 1] over `count` samples -> [...]."""
    return np.asarray(sums)[..., 0] / count
