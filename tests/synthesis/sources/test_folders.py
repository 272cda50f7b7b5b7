"""One's own folders, and the images that people put into them."""

import json
import os

import pytest

from helpers.source_folders import RECORDS, draw, save
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.sources import groups
from lavis_sam.synthesis.sources.folders import IconFolder, folder, icon_name


@pytest.fixture(autouse=True)
def _everything_is_for_training(monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)


def test_a_manifest_says_everything(own):
    source = folder(str(own), "furniture", licence="mine")
    chair = next(draw(source, k) for k in range(2) if draw(source, k).id == "chair 1")
    assert (chair.label, chair.caption, chair.licence, chair.height) == ("green chair", "A green chair.", "CC0", 0.8)
    assert chair.required_words == ("green",)
    masks = {view.reference: view.alpha for view in chair.views}
    assert masks["a/1.png"].sum() == 40 * 60
    assert masks["a/2 ü.PNG"] is None
    other = next(draw(source, k) for k in range(2) if draw(source, k).id == "7")
    assert (other.licence, other.height, other.label) == ("mine", 0.9, "")
    assert [(entry.id, entry.reason) for entry in source.skipped()] == [("alone", "too few images")]


def test_a_manifest_says_where_objects_are(own):
    record = {**RECORDS[0], "boxes": [[1, 2, 30, 40.5], None], "points": [None, [[5, 6], [7, 8]]]}
    (own / "manifest.jsonl").write_text(json.dumps(record))
    views = {view.reference: view for view in draw(folder(str(own), "furniture")).views}
    first, second = (views[name] for name in record["images"])
    assert (first.box, first.points) == ((1.0, 2.0, 30.0, 40.5), ())
    assert (second.box, second.points) == (None, ((5.0, 6.0), (7.0, 8.0)))


def test_a_json_list_is_a_manifest_too(own):
    (own / "list.json").write_text(json.dumps(RECORDS))
    assert len(folder(str(own), "furniture", manifest="list.json")) == 2


def test_without_a_manifest_every_folder_is_a_group(own):
    (own / "manifest.jsonl").unlink()
    source = folder(str(own), "characters")
    assert {draw(source, k).id for k in range(2)} == {"a", "b"}
    assert draw(source).height == 1.7


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (["x"], "wanted an object with id and images"),
        ({"images": ["a"]}, "wanted an object with id and images"),
        ({"id": "x", "images": "a"}, "wanted a list of paths"),
        ({"id": "x", "images": [""]}, "wanted a list of paths"),
        ({"id": "x", "images": ["a"], "mask": ["b"]}, "Did you mean 'masks'?"),
        ({"id": "x", "images": ["a"], "masks": ["b", "c"]}, "as long as images"),
        ({"id": "x", "images": ["a"], "masks": [3]}, "wanted values of one kind"),
        ({"id": "x", "images": ["a"], "attributes": {"a": 1}}, "wanted name -> words"),
        ({"id": "x", "images": ["a"], "boxes": [[5, 5, 5, 9]]}, "wanted [left, top, right, bottom] in pixels"),
        ({"id": "x", "images": ["a"], "boxes": [[1, 2, 3]]}, "wanted [left, top, right, bottom] in pixels"),
        ({"id": "x", "images": ["a"], "boxes": [[1, 2, True, 9]]}, "wanted [left, top, right, bottom] in pixels"),
        ({"id": "x", "images": ["a"], "points": [[1, 2]]}, "wanted [[x, y], …] in pixels"),
        ({"id": "x", "images": ["a"], "points": [[[1, float("nan")]]]}, "wanted [[x, y], …] in pixels"),
        ({"id": "x", "images": ["a"], "height": -1}, "wanted metres"),
        ({"id": "x", "images": ["a"], "height": True}, "wanted metres"),
        ({"id": "x", "images": ["a"], "caption": 5}, "wanted texts"),
        ({"id": "chair 1", "images": ["a"]}, "was used before"),
    ],
)
def test_a_malformed_record_is_named(own, record, message):
    (own / "manifest.jsonl").write_text(json.dumps(RECORDS[0]) + "\n" + json.dumps(record))
    with pytest.raises(SamConfigurationError) as error:
        folder(str(own), "furniture")
    assert message in str(error.value)
    assert "manifest.jsonl[1]" in str(error.value)


def test_broken_lines_unknown_kinds_and_empty_folders(own, tmp_path):
    (own / "broken.jsonl").write_text("{")
    with pytest.raises(SamConfigurationError, match=r"broken\.jsonl:1: no JSON"):
        folder(str(own), "furniture", manifest="broken.jsonl")
    with pytest.raises(SamConfigurationError, match="unknown kind 'icons'"):
        folder(str(own), "icons")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SamConfigurationError, match="0 groups under"):
        folder(str(tmp_path / "empty"), "furniture")


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("acorn", "acorn"),
        ("red_Apple-2", "red apple 2"),
        ("1f330", "chestnut"),
        ("emoji_u1f34e", "red apple"),
        ("U+1F3E0", "house building"),
        ("2708-fe0f", "airplane"),
        ("1f468-200d-1f52c", ""),
        ("1fffff", ""),
        ("face", "face"),
    ],
)
def test_icons_are_named_by_their_files(stem, name):
    assert icon_name(stem) == name


def test_an_icon_folder(tmp_path):
    for name in ("acorn.png", "1f34e.png", "x9.png", "Acorn.webp", "1fffff.png"):
        save(tmp_path / name, "RGBA", (64, 64))
    (tmp_path / "names.json").write_text(json.dumps({"x9.png": "rocket"}))
    (tmp_path / "readme.txt").touch()
    source = IconFolder(str(tmp_path), licence="MIT")
    drawn = [draw(source, k, views=2) for k in range(3)]
    assert [icon.label for icon in drawn] == ["acorn", "red apple", "rocket"]
    assert drawn[0].views[0] is drawn[0].views[1]
    assert draw(source, None, 1, unlike=tuple(drawn[:2])).label == "rocket"
    with pytest.raises(SamDataError, match="found no icon besides"):
        draw(source, None, 1, unlike=tuple(drawn))
    assert {(entry.id, entry.reason) for entry in source.skipped()} == {
        ("acorn.png", "name used before"),
        ("1fffff.png", "no name"),
    }


def test_a_folder_without_icons(tmp_path):
    with pytest.raises(SamConfigurationError, match="0 named icons"):
        IconFolder(str(tmp_path))


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path, monkeypatch):
    (tmp_path / "chair" / "locked").mkdir(parents=True)
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SamDataError, match="locked: cannot be listed"):
        folder(str(tmp_path), "furniture")
