"""`lavis-sam data join` writes one file, once."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.command_line import call
from lavis_sam.cli import app
from lavis_sam.errors import SamConfigurationError


@pytest.fixture
def sets(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "x.png")
        record = {"id": 1, "img_list": ["x.png"], "instruction": "What?", "output": "A cat."}
        (tmp_path / name / "annotations.json").write_text(json.dumps([record]))
    return [str(tmp_path / name / "annotations.json") for name in ("a", "b")]


def test_it_says_what_it_wrote(sets, tmp_path):
    said = call("data", "join", str(tmp_path / "all.json"), *sets)
    assert f"wrote {tmp_path / 'all.json'}: 2 sample(s) of 2 file(s)" in said
    assert [record["img_list"] for record in json.loads((tmp_path / "all.json").read_text())] == [
        ["a/x.png"],
        ["b/x.png"],
    ]


def test_nothing_is_overwritten(sets, tmp_path):
    (tmp_path / "all.json").write_text("mine")
    with pytest.raises(SamConfigurationError, match="is there already"):
        CliRunner().invoke(app, ["data", "join", str(tmp_path / "all.json"), *sets], catch_exceptions=False)
    assert (tmp_path / "all.json").read_text() == "mine"
