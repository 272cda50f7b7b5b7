"""Scores that an evaluator reports are those of the protocols."""

import pytest

from lavis_sam.errors import SamDataError
from lavis_sam.evaluators.scoring import NAMES, as_prediction, corpus_score
from lavis_sam.metrics.predictions import parse_predictions
from lavis_sam.metrics.protocols import score

SAMPLES = [
    {"sample_id": "1", "gt_response": "A red chair. A chair.", "references": ["A red chair.", "A chair."]},
    {"sample_id": "2", "gt_response": "A cat on the mat.", "references": ["A cat on the mat."]},
]


def test_every_metric_of_every_protocol():
    records = [as_prediction(sample, answer) for sample, answer in zip(SAMPLES, ["A red chair", "A dog"], strict=True)]
    for name, (protocol, metric) in NAMES.items():
        assert name == f"{protocol}_{metric}"
        wanted = score(parse_predictions(records, place="test"), protocol).reported.corpus[metric]
        assert corpus_score(records, name) == wanted
    assert corpus_score(records, "coco_rouge") > 0
    better = [as_prediction(sample, sample["references"][0]) for sample in SAMPLES]
    assert corpus_score(better, "coco_rouge") > corpus_score(records, "coco_rouge")


def test_two_predictions_of_a_sample_are_refused():
    with pytest.raises(SamDataError):
        corpus_score([as_prediction(SAMPLES[0], "A"), as_prediction(SAMPLES[0], "B")], "sam_rouge")
