"""What the tasks of `lavis-sam data export lmms-eval` name: images, question and scores of a document.

lmms-eval imports it by this name, which exported tasks hold.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from PIL import Image

from lavis_sam.datasets.images import to_rgb
from lavis_sam.evaluators.scoring import NAMES, as_prediction, corpus_score


def doc_to_visual(document: Mapping[str, Any]) -> list[Image.Image]:
    """Return the images, in order.

    Raises:
        SamDataError: One is missing or damaged.
    """
    return [to_rgb(path, str(path)) for path in document["images"]]


def doc_to_text(document: Mapping[str, Any]) -> str:
    """Return the instruction with its context."""
    return str(document["instruction"])


def process_results(document: Mapping[str, Any], results: list[str]) -> dict[str, dict[str, Any]]:
    """Return metric -> what it is computed from: the prediction beside its references."""
    return dict.fromkeys(NAMES, as_prediction(document, results[0]))


def __getattr__(name: str) -> Callable[[list[dict[str, Any]]], float]:
    """Return the aggregation of a metric, such as `coco_cider`, which the tasks name as functions of this module."""
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(corpus_score, name=name)
