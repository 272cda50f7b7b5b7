"""Predictions that an evaluator gathered, under the protocols: the numbers of `lavis-sam score`."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lavis_sam.metrics.predictions import Prediction, parse_predictions
from lavis_sam.metrics.protocols import METRICS, PROTOCOLS, score

# Metric names in evaluators -> protocol and metric, such as `coco_cider`.
NAMES = {f"{protocol}_{metric}": (protocol, metric) for protocol in PROTOCOLS for metric in METRICS}


def as_prediction(sample: Mapping[str, Any], answer: str) -> dict[str, Any]:
    """Return the record of a prediction file.

    Args:
        sample: `sample_id`, `gt_response` and `references` of the sample.
        answer: The model's.
    """
    return {**{key: sample[key] for key in ("sample_id", "gt_response", "references")}, "pred_response": answer}


def corpus_score(records: list[dict[str, Any]], name: str) -> float:
    """Return a metric of prediction records, x100.

    Args:
        records: As `as_prediction` makes them.
        name: One of `NAMES`.

    Raises:
        SamDataError: No prediction, two of one sample, or an empty reference.
    """
    protocol, metric = NAMES[name]
    return _scores(tuple(parse_predictions(records, place="the evaluator's predictions")), protocol)[metric]


# The metrics of a protocol are asked for one by one, and computed together.
@lru_cache(maxsize=len(PROTOCOLS))
def _scores(predictions: tuple[Prediction, ...], protocol: str) -> Mapping[str, float]:
    return score(predictions, protocol).reported.corpus
