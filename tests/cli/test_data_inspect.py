"""`lavis-sam data stats | preview`, as a user types them."""

import json
from functools import partial

import pytest
from PIL import Image

from helpers.shards import write_images
from lavis_sam.datasets.annotations import write_annotations


@pytest.fixture
def run(run):
    """`lavis-sam data …`: exit code, stdout, stderr."""
    return partial(run, "data")


@pytest.fixture
def folder(tmp_path):
    samples = write_images(tmp_path / "d")
    write_annotations(tmp_path / "d" / "annotations.json", samples)
    return tmp_path / "d"


def test_stats(run, folder, tmp_path):
    code, printed, _ = run("stats", folder, "--batch-size", 4)
    assert code == 0
    assert "10 samples, 19 images (19 different ones)" in printed
    for wanted in ("images", "words of the answer", "padding, batches of 4", "saved by bucketing"):
        assert wanted in printed
    run("shards", folder, tmp_path / "s")
    code, printed, _ = run("stats", tmp_path / "s", "--batch-size", 4, "--json", "--plot", tmp_path / "p.png")
    assert json.loads(printed)["pictures_per_sample"] == {"1": 4, "2": 3, "3": 3}
    with Image.open(tmp_path / "p.png") as image:
        assert image.format == "PNG"


def test_preview(run, folder, tmp_path):
    code, printed, _ = run("preview", folder)
    assert code == 0
    assert f"wrote {folder / 'preview.html'}: 10 sample(s)" in printed
    assert (folder / "preview.html").read_text(encoding="utf-8").count("<img") == 19
    run("shards", folder, tmp_path / "s")
    run("preview", tmp_path / "s", "--num", 3, "--seed", 1, "--out", tmp_path / "p.html")
    assert (tmp_path / "p.html").read_text(encoding="utf-8").count("<article") == 3
