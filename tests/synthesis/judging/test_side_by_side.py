"""Several data sets on one page."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.judging.side_by_side import read_measured, unique_names, write_side_by_side


@pytest.fixture
def other(finished, tmp_path):
    """The same set as if another segmenter had made it, with other masks and another threshold."""
    root = tmp_path / "other"
    shutil.copytree(finished, root)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["run"]["backends"]["segment"] = "<sam> 1"
    manifest["run"]["settings"]["quality"]["mask.largest"] = {"min": 0.5, "max": None}
    (root / "manifest.json").write_text(json.dumps(manifest))
    lines = [json.loads(line) for line in (root / "samples.jsonl").read_text().splitlines()]
    for line in lines:
        line["scores"] = {**line["scores"], "mask.predicted_iou": [0.25]}
    (root / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_measured_holds_all_accepted_values_and_refusals(finished):
    found = read_measured("a", finished)
    lines = [json.loads(line) for line in (finished / "samples.jsonl").read_text().splitlines()]
    assert found.accepted == len(lines) == 14
    assert found.scores["mask.area"] == [value for line in lines for value in line["scores"].get("mask.area", ())]
    assert found.refused["duplicates.distance"] > 0
    assert found.made_by("mask.area") == "not white 1"
    assert found.made_by("text.words") == "words 1, keep 1"
    assert found.made_by("duplicates.distance") == ""


def test_scores_of_two_sets_share_a_table_beside_their_backends(finished, other, tmp_path):
    write_side_by_side({"embedded": finished, "p<a>per": other}, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<sam>" not in page
    assert "p<a>per" not in page
    area = page.split("<h3>mask.area</h3>")[1].split("<h3>")[0]
    assert re.findall(r"<tr><td>(.*?)<td>(.*?)<td>", area) == [
        ("embedded", "not white 1"), ("p&lt;a&gt;per", "&lt;sam&gt; 1")
    ]  # fmt: skip
    largest = page.split("<h3>mask.largest</h3>")[1].split("<h3>")[0]
    assert "min 0.9" in largest
    assert "min 0.5" in largest
    assert "stroke-dasharray" not in largest, "two thresholds are not drawn as one"
    assert "stroke-dasharray" in page.split("<h3>composite.overlap</h3>")[1].split("<h3>")[0]


def test_a_score_that_one_set_lacks_is_said_to_be_missing(finished, other, tmp_path):
    write_side_by_side({"embedded": finished, "paper": other}, tmp_path / "page.html")
    part = (tmp_path / "page.html").read_text().split("<h3>mask.predicted_iou</h3>")[1].split("<h3>")[0]
    assert "<tr><td>embedded<td>not white 1<td>0<td>–<td>–<td>–" in part
    assert "<td>14<td>0.25<td>0.25<td>0.25" in part


def test_tries_and_refusals_stand_side_by_side(finished, other, tmp_path):
    manifest = json.loads((finished / "manifest.json").read_text())
    write_side_by_side({"a": finished, "b": other}, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count(f"<td>14 of {manifest['tries']} tries") == 2
    count = manifest["rejections"]["SamDataError"]["count"]
    assert f"<td>SamDataError<td>{count} ({count / manifest['tries']:.1%})" in page


def test_names_come_from_folders_and_differ():
    assert unique_names([(None, Path("/x/a")), ("b", Path("/y/a"))]) == {"a": Path("/x/a"), "b": Path("/y/a")}
    with pytest.raises(SamConfigurationError, match=r"two data sets called 'a'.*NAME="):
        unique_names([(None, Path("/x/a")), (None, Path("/y/a"))])


@pytest.mark.parametrize("change", [{"scores": [1]}, {"scores": {"mask.area": ["x"]}}])
def test_strange_records_are_one_clear_error(other, tmp_path, change):
    line = json.loads((other / "samples.jsonl").read_text().splitlines()[0])
    (other / "samples.jsonl").write_text(json.dumps({**line, **change}) + "\n")
    with pytest.raises(SamDataError, match="not what `lavis-sam synthesize` writes"):
        write_side_by_side({"a": other}, tmp_path / "page.html")
