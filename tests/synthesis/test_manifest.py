"""What samples, rejections and the manifest say of a run."""

import json

import pytest

from helpers.synthesis_runs import NUM, SEED, make
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.dataset_writer import read_lines


def test_samples_say_how_they_were_made(finished):
    for sample in read_lines(finished / "samples.jsonl"):
        assert sample["seed"] == SEED
        assert sample["backends"]["segment"] == "not white 1"
        assert sample["scores"]["text.attributes"] == [1.0]
        for obj in sample["objects"]:
            assert obj["licence"] == "none"
            assert obj["source"]
        for image in sample["pictures"]:
            assert len(image["hash"]) == 16
            for obj in image["objects"]:
                assert obj["mask"]["size"] == ([128, 128] if sample["kind"] != "covers" else [128, 85])


def test_masks_can_be_read_by_anybody(finished):
    from pycocotools import mask as coco

    sample = next(sample for sample in read_lines(finished / "samples.jsonl") if sample["kind"] == "characters")
    for obj in sample["pictures"][0]["objects"]:
        left, top, width, height = coco.toBbox(obj["mask"])
        x, y, box_width, box_height = obj["box"]
        assert abs(left - x) <= 2
        assert abs(top - y) <= 2
        assert abs(width - box_width) <= 3
        assert abs(height - box_height) <= 3


def test_rejections_have_reason_stage_and_value(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    rejections = list(read_lines(finished / "rejections.jsonl"))
    assert len(rejections) == manifest["tries"] - manifest["accepted"] > 0
    assert {rejection["reason"] for rejection in rejections} == {"SamDataError", "duplicates.distance"}
    for rejection in rejections:
        if rejection["reason"] == "duplicates.distance":
            assert rejection["stage"] == "duplicates"
            assert rejection["value"] < 23
            assert "at least 23" in rejection["limit"]
        else:
            assert "is broken" in rejection["limit"]
            assert rejection["stage"] == "plan"
    assert manifest["stages"]["plan"]["entered"] == manifest["tries"]
    assert manifest["stages"]["duplicates"]["passed"] == NUM


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(SamDataError, match=r"manifest\.json: not JSON"):
        make(tmp_path, resume=True)
