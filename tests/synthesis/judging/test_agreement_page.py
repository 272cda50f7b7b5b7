"""What ratings say, as JSON and as a page."""

import json

import pytest

from helpers.ratings import write_ratings
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.judging.agreement_page import judge, write_agreement
from lavis_sam.synthesis.quality import Limits


@pytest.fixture
def files(finished, tmp_path):
    """Three raters; Ada and Ben agree on all but one sample."""
    names = [json.loads(line)["id"] for line in (finished / "samples.jsonl").read_text().splitlines()]
    ada = {name: (number % 3 != 0, True) for number, name in enumerate(names)}
    ben = {**ada, names[1]: (False, True)}
    said = {"Ada <b>": ada, "Ben": ben, "Cy": {names[0]: (False, False)}}
    return [write_ratings(tmp_path / f"{n}.json", finished, rater, v) for n, (rater, v) in enumerate(said.items())]


def test_findings_hold_raters_agreement_and_every_measured_check(finished, files):
    found = judge(finished, files)
    assert found["raters"] == {"Ada <b>": 14, "Ben": 14, "Cy": 1}
    assert (found["rated"], found["divided"]) == (14, {"images": 1, "text": 0, "sample": 1})
    first = found["agreement"][0]
    assert (first["raters"], first["aspect"], first["samples"]) == (["Ada <b>", "Ben"], "images", 14)
    assert first["agreement"] == pytest.approx(13 / 14)
    by = {(check["score"], check["side"]): check for check in found["checks"]}
    # The set was made with these thresholds, so nothing that is left crosses them.
    assert by["composite.overlap", "max"]["now"]["refused"] == 0
    assert by["duplicates.distance", "min"]["now"]["threshold"] == 23
    assert by["mask.holes", "max"]["now"] is None


def test_other_thresholds_are_judged_on_the_same_ratings(finished, files):
    found = judge(finished, files, {"duplicates.distance": Limits(min=65)})
    assert found["all_checks"]["refused"] == found["all_checks"]["samples"] == 13
    assert found["all_checks"]["recall"] == 1.0


def test_page_and_json_are_written(finished, files, tmp_path):
    found = judge(finished, files, {"duplicates.distance": Limits(min=30)})
    write_agreement(tmp_path / "out", found)
    assert json.loads((tmp_path / "out" / "agreement.json").read_text()) == json.loads(json.dumps(found))
    page = (tmp_path / "out" / "agreement.html").read_text()
    assert "Ada &lt;b&gt; and Ben" in page
    assert "<b>Ben" not in page
    assert "duplicates.distance min" in page
    assert "<polyline" in page


def test_one_rater_alone_is_no_agreement_but_judges_checks(finished, files, tmp_path):
    found = judge(finished, files[:1])
    write_agreement(tmp_path, found)
    assert found["agreement"] == []
    assert "nobody to agree with" in (tmp_path / "agreement.html").read_text()
    assert found["checks"]


def test_there_has_to_be_a_data_set(tmp_path, files):
    with pytest.raises(SamDataError, match="wanted a finished data set"):
        judge(tmp_path, files)
