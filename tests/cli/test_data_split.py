"""`lavis-sam data split` writes a file for each split, once."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.command_line import call
from lavis_sam.cli import app
from lavis_sam.errors import SamConfigurationError, SamDataError


@pytest.fixture
def own(tmp_path):
    """Ten samples of an image each, and one whose image is missing."""
    records = []
    for number in range(11):
        records.append({"id": number, "img_list": [f"{number}.png"], "instruction": "What?", "output": "A cat."})
        if number < 10:
            Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "annotations.json").write_text(json.dumps(records))
    return tmp_path


def ids(folder, split):
    return [record["id"] for record in json.loads((folder / f"annotations.{split}.json").read_text())]


def test_data_split_writes_each_sample_once_and_tells_a_problem_once(own, caplog):
    before = (own / "annotations.json").read_bytes()
    said = call("data", "split", str(own))
    assert sorted(ids(own, "train") + ids(own, "val") + ids(own, "test")) == list(range(10))
    assert [len(ids(own, split)) for split in ("train", "val", "test")] == [8, 1, 1]
    assert said.count("10.png") == 1
    assert not caplog.records
    assert (own / "annotations.json").read_bytes() == before


def test_data_split_overwrites_nothing(own):
    (own / "annotations.test.json").write_text("mine")
    with pytest.raises(SamConfigurationError, match=r"annotations\.test\.json: is there already"):
        CliRunner().invoke(app, ["data", "split", str(own)], catch_exceptions=False)
    assert (own / "annotations.test.json").read_text() == "mine"
    assert not (own / "annotations.train.json").exists()


def test_data_split_of_no_folder(tmp_path):
    with pytest.raises(SamDataError, match="there is no such folder"):
        CliRunner().invoke(app, ["data", "split", str(tmp_path / "gone")], catch_exceptions=False)


def test_data_commands_tell_a_problem_once(tmp_path, caplog):
    """In what they print, and not in the log as well."""
    own = tmp_path / "own"
    for name in ("whole", "broken"):
        (own / name).mkdir(parents=True)
        (own / name / "caption.txt").write_text("A cat.")
        Image.new("RGB", (4, 4)).save(own / name / "a.png")
    collect = ["collect", str(own), "--instruction", "What?"]
    call("data", *collect)
    (own / "broken" / "a.png").write_bytes(b"?")
    for words in (["shards", str(own), str(tmp_path / "shards")], collect):
        said = call("data", *words)
        assert said.count("unreadable image") == said.count("dropped 1 sample(s)") == 1
        assert not caplog.records
