"""Models that answer images and a text with a text: a record for each sample, or an error."""

import pytest
from PIL import Image

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.model import EvaluationSample, ImageTextModel


class Fixed(ImageTextModel):
    def __init__(self, *answers):
        self.answers = list(answers)

    def describe(self):
        return {"model": "fixed", "weights": "w", "decoding": {"beams": 1}, "temper": "even"}

    def answer(self, samples):
        return self.answers


SAMPLES = [
    EvaluationSample(
        MultiImageSample(name, ("x.png",), f"Say {name}.", "yes", ("yes", "aye"), "here"), (Image.new("RGB", (2, 2)),)
    )
    for name in (1, "b")
]


def test_records_hold_answer_truth_and_references():
    assert Fixed("one", "").records(SAMPLES) == [
        {"sample_id": 1, "pred_response": "one", "gt_response": "yes", "references": ["yes", "aye"]},
        {"sample_id": "b", "pred_response": "", "gt_response": "yes", "references": ["yes", "aye"]},
    ]


def test_another_number_of_answers_is_an_error_that_names_the_batch():
    with pytest.raises(SamConfigurationError, match=r"Fixed gave 1 answers to 2 samples.*sample 1 and following"):
        Fixed("one").records(SAMPLES)


def test_provenance_is_what_the_model_describes():
    model = Fixed()
    made = model.provenance(model.describe(), split="val", prompts="published")
    assert (made.model, made.weights, made.decoding) == ("fixed", "w", {"beams": 1})
    assert (made.split, made.prompts, made.config) == ("val", "published", model.describe())
