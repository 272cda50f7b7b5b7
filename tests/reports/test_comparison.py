import json

import pytest

from lavis_sam.errors import SamDataError
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.reports.comparison import compare

TRUTHS = ["a dog runs on the grass", "two people sit at a table", "a red bird sings in spring", "it rains all day long"]


def answers(texts, truths=TRUTHS):
    return [Prediction(i, text, truth, (truth,)) for i, (text, truth) in enumerate(zip(texts, truths, strict=True))]


def test_samples_are_paired_by_id_and_not_by_place():
    good, bad = answers(TRUTHS), answers(["x"] * 4)
    one = compare(bad, good, resamples=50)
    other = compare(bad, good[::-1], resamples=50)
    assert one == other
    assert one.metrics["rouge"].first == 0
    assert one.metrics["rouge"].difference == pytest.approx(100, abs=1e-5)


def test_plain_data():
    result = compare(answers(["x"] * 4), answers(TRUTHS), names=("a.json", "b.json"), resamples=50, seed=3)
    data = json.loads(json.dumps(result.as_dict()))
    assert data["names"] == ["a.json", "b.json"]
    assert (data["protocol"], data["count"], data["resamples"], data["seed"]) == ("sam", 4, 50, 3)
    assert set(data["metrics"]["cider"]) == {"first", "second", "difference", "interval", "p_value"}


def test_other_samples_or_references_are_refused():
    with pytest.raises(SamDataError, match="B lacks 1 of A's samples: 3"):
        compare(answers(TRUTHS), answers(TRUTHS)[:3], names=("A", "B"))
    with pytest.raises(SamDataError, match="sample 0: the reference is"):
        compare(answers(TRUTHS), answers(TRUTHS, TRUTHS[::-1]), names=("A", "B"))
