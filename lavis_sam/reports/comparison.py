"""Two models on the same samples: is the difference more than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lavis_sam.metrics.predictions import Prediction, check_same_data
from lavis_sam.metrics.protocols import score
from lavis_sam.metrics.resampling import LEVEL, RESAMPLES, Difference, paired_differences


@dataclass(frozen=True)
class Comparison:
    """Two models' scores and their differences.

    Attributes:
        count: How many samples both answered.
        resamples: How many draws and exchanges were made.
        metrics: Metric -> the two scores and their difference, x100.
    """

    names: tuple[str, str]
    protocol: str
    count: int
    resamples: int
    level: float
    seed: int
    metrics: Mapping[str, Difference]

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as plain data."""
        return asdict(self)


def compare(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    *,
    names: tuple[str, str] = ("first", "second"),
    protocol: str = "sam",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Comparison:
    """Score both and test their differences sample by sample.

    Args:
        second: Another model's, for the same samples and references, in any order.

    Raises:
        SamConfigurationError: No such protocol, an impossible `resamples` or `level`.
        SamDataError: Other samples or references, or something that cannot be scored.
    """
    check_same_data(first, second, names=names)
    by_id = {str(prediction.sample_id): prediction for prediction in second}
    aligned = [by_id[str(prediction.sample_id)] for prediction in first]
    differences = paired_differences(
        score(first, protocol), score(aligned, protocol), resamples=resamples, level=level, seed=seed
    )
    return Comparison(names, protocol, len(first), resamples, level, seed, differences)
