"""Writing a folder in the unified format: image paths that stay valid, ids that stay unique."""

import dataclasses
import os
import shutil

import pytest

from helpers.dummies import record, write_dataset
from helpers.release_parts import write_image
from lavis_sam.datasets import folder
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.folder import annotation_file, write_folder
from lavis_sam.errors import SamDataError


@pytest.fixture
def source(tmp_path):
    write_dataset(tmp_path / "source", [record("a", img_list=["sub/ö 1.png", "two.png"]), record("b")])
    return tmp_path / "source"


@pytest.fixture(autouse=True)
def _make_source(tmp_path):
    (tmp_path / "source").mkdir()


def written(source, out, splits=()):
    samples = read_annotations(source / "annotations.json", source)
    return write_folder(samples, splits, source, out)


def test_images_from_elsewhere_are_linked_and_stay_valid(source, tmp_path):
    out = tmp_path / "out"
    assert written(source, out) == {"annotations.json": 2}
    assert (out / "images" / "sub" / "ö 1.png").samefile(source / "sub" / "ö 1.png")
    shutil.rmtree(source)
    moved = out.rename(tmp_path / "moved")
    samples = read_annotations(moved / "annotations.json", moved, check="full")
    assert [sample.images for sample in samples] == [
        ("images/sub/ö 1.png", "images/two.png"),
        ("images/one.png", "images/two.png"),
    ]


def test_copies_where_there_are_no_links(source, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(folder.os, "link", refuse)
    written(source, tmp_path / "out")
    copied = tmp_path / "out" / "images" / "one.png"
    assert not copied.samefile(source / "one.png")
    assert copied.read_bytes() == (source / "one.png").read_bytes()
    assert read_annotations(tmp_path / "out" / "annotations.json", tmp_path / "out")


def test_images_that_are_there_already_stay_where_they_are(source, tmp_path):
    written(source, source)
    assert [sample.images[1] for sample in read_annotations(source / "annotations.json", source)] == ["two.png"] * 2
    written(source, tmp_path)  # one level above
    samples = read_annotations(tmp_path / "annotations.json", tmp_path)
    assert samples[0].images == ("source/sub/ö 1.png", "source/two.png")
    assert not (tmp_path / "images").exists()


def test_a_converted_folder_is_converted_again_without_deeper_folders(source, tmp_path):
    written(source, tmp_path / "one")
    written(tmp_path / "one", tmp_path / "two")
    samples = read_annotations(tmp_path / "two" / "annotations.json", tmp_path / "two")
    assert samples[1].images == ("images/one.png", "images/two.png")


def test_a_second_time_replaces_what_changed(source, tmp_path):
    out = tmp_path / "out"
    written(source, out)
    write_image(out / "images" / "kept.png")
    (source / "one.png").unlink()
    write_image(source / "one.png", size=(30, 30))
    written(source, out)
    assert (out / "images" / "one.png").samefile(source / "one.png")
    assert (out / "images" / "kept.png").exists()
    assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]


def test_a_link_inside_the_source_becomes_a_file(source, tmp_path):
    (source / "one.png").rename(source / "real.png")
    os.symlink("real.png", source / "one.png")
    written(source, tmp_path / "out")
    assert not (tmp_path / "out" / "images" / "one.png").is_symlink()


def test_splits_have_files_of_their_own_and_ids_stay_unique(source, tmp_path):
    samples = read_annotations(source / "annotations.json", source)
    samples.append(dataclasses.replace(samples[0], output="Another."))
    files = write_folder(samples, ["train", "train", "test"], source, tmp_path / "out")
    assert files == {"annotations.json": 3, "annotations.test.json": 1, "annotations.train.json": 2}
    ids = [sample.id for sample in read_annotations(tmp_path / "out" / "annotations.json", tmp_path / "out")]
    assert ids == ["train/a", "b", "test/a"]
    assert read_annotations(tmp_path / "out" / "annotations.test.json", tmp_path / "out")[0].id == "test/a"


def test_one_split_needs_no_file_of_its_own(source, tmp_path):
    assert written(source, tmp_path / "out", ["train", "train"]) == {"annotations.json": 2}


def test_the_annotation_file_of_a_folder(tmp_path):
    with pytest.raises(SamDataError, match=r"found none of annotations\.json, annotations\.jsonl.*data convert"):
        annotation_file(tmp_path)
    (tmp_path / "annotations.jsonl").touch()
    assert (
        annotation_file(tmp_path) == annotation_file(tmp_path / "annotations.jsonl") == tmp_path / "annotations.jsonl"
    )
