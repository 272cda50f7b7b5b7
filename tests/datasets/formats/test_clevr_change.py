"""CLEVR-Change without its list of splits."""

import json

import pytest

from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.reading import read_dataset


def test_clevr_change_without_splits(tmp_path):
    MINIATURES["clevr_change"](tmp_path)
    (tmp_path / "splits.json").unlink()
    everything = read_dataset("clevr_change", tmp_path / "change_captions.json", tmp_path)
    assert [sample.id for sample in everything.samples] == [
        "000000-semantic",
        "000000-nonsemantic",
        "000002-nonsemantic",
        "000013-semantic",
    ]
    report = read_dataset("clevr_change", tmp_path, tmp_path, split="train")
    assert not report.usable
    assert "splits.json" in report.summary()


@pytest.mark.parametrize(
    ("splits", "named"),
    [
        ({"train": [0, 13], "val": [2], "test": [13]}, "index 13 is in train[1] and in test[0], wanted in one split"),
        ({"train": [13], "val": ["000013"], "test": [0]}, "index 13 is in train[0] and in val[0]"),
        ({"valid": [13, 0], "train": [13], "test": [13]}, "index 13 is in valid[0] and in train[0] and in test[0]"),
    ],
)
@pytest.mark.parametrize("split", [None, "train", "val", "test"])
def test_clevr_change_refuses_an_index_in_two_splits_and_names_both(tmp_path, splits, named, split):
    MINIATURES["clevr_change"](tmp_path)
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    report = read_dataset("clevr_change", tmp_path, tmp_path, split=split)
    assert next(problem.message for problem in report.problems if problem.kind == "several splits").startswith(named)
    assert not any(sample.id.startswith("000013") for sample in report.samples)


@pytest.mark.parametrize(
    "splits", [{"train": [13, 13, 0]}, {"val": [13], "valid": [13]}, {"train": [13], "all": [13, 0]}]
)
def test_clevr_change_takes_an_index_that_one_split_has_twice(tmp_path, splits):
    MINIATURES["clevr_change"](tmp_path)
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    report = read_dataset("clevr_change", tmp_path, tmp_path)
    of_samples = dict(zip((sample.id for sample in report.samples), report.splits, strict=True))
    assert of_samples["000013-semantic"] == ("val" if "val" in splits else "train")
    assert "several splits" not in report.summary()


def test_clevr_change_names_an_image_with_captions_under_two_names(tmp_path):
    MINIATURES["clevr_change"](tmp_path)
    path = tmp_path / "change_captions.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"CLEVR_default_13.png": ["another change"]}))
    report = read_dataset("clevr_change", tmp_path, tmp_path)
    assert "index 13 has captions under another name" in report.summary()
    assert not any("another change" in sample.references for sample in report.samples)
