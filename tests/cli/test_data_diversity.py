"""`lavis-sam data diversity`, as a user types it."""

import json

import pytest

from helpers.shards import write_images
from lavis_sam.datasets.annotations import write_annotations


@pytest.fixture
def folder(tmp_path):
    samples = write_images(tmp_path / "d")
    write_annotations(tmp_path / "d" / "annotations.json", samples)
    return tmp_path / "d"


def test_a_table_a_page_and_json_of_folders_and_shards(run, folder, tmp_path):
    run("data", "shards", folder, tmp_path / "s")
    out = tmp_path / "page.html"
    code, printed, stderr = run("data", "diversity", f"mine={folder}", tmp_path / "s", "--out", out)
    assert code == 0, stderr
    lines = printed.splitlines()
    assert len(lines) == 2 + 2 + 5
    assert lines[2].startswith("| mine | measured | 10 | 1 to 3 | not recorded |")
    assert lines[3] == lines[2].replace("| mine |", "| s |")
    assert lines[4].startswith("| MmLINK | paper | 69K |")
    assert "<h1>Diversity of mine, s</h1>" in out.read_text()
    code, printed, _ = run("data", "diversity", folder, "--num", 4, "--json")
    assert code == 0
    found = json.loads(printed)
    assert found["measured"][0]["compared"] == 4
    assert found["published"][1] == {"name": "Spot-the-Diff", "samples_in_thousands": 13, "source": "paper"}


def test_a_damaged_image_is_named_and_the_others_are_compared(run, folder):
    next(folder.rglob("*.JPG")).write_bytes(b"no image")
    code, printed, stderr = run("data", "diversity", folder)
    assert code == 0
    assert " of 9 |" in printed
    assert "d: not compared: " in stderr


def test_what_is_no_data_set_exits_with_2(run, tmp_path):
    code, _, stderr = run("data", "diversity", tmp_path)
    assert code == 2
    assert "annotations.json" in stderr
