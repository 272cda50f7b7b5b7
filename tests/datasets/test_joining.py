"""Data sets of different folders under one root."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from lavis_sam.datasets.annotations import read_annotations, write_annotations
from lavis_sam.datasets.joining import join_samples
from lavis_sam.errors import SamConfigurationError, SamDataError


def write_set(folder, count, text="A cat."):
    (folder / "images").mkdir(parents=True)
    records = []
    for number in range(count):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / "images" / f"{number}.png")
        records.append({"id": number, "img_list": [f"images/{number}.png"], "instruction": "What?", "output": text})
    (folder / "annotations.json").write_text(json.dumps(records))
    return folder / "annotations.json"


def test_samples_keep_their_texts_and_find_their_images(tmp_path):
    files = [write_set(tmp_path / "a", 2), write_set(tmp_path / "deep" / "b", 3, "A dog.")]
    joined = join_samples(files, tmp_path)
    assert [sample.images[0] for sample in joined[:3]] == ["a/images/0.png", "a/images/1.png", "deep/b/images/0.png"]
    assert [sample.output for sample in joined] == ["A cat."] * 2 + ["A dog."] * 3
    write_annotations(tmp_path / "all.json", joined)
    read = read_annotations(tmp_path / "all.json", tmp_path, check="full")
    assert [replace(sample, source="") for sample in read] == [replace(sample, source="") for sample in joined]


def test_equal_ids_of_two_sets_differ(tmp_path):
    joined = join_samples([write_set(tmp_path / "a", 2), write_set(tmp_path / "b", 2)], tmp_path)
    assert [str(sample.id) for sample in joined[1:3]] == ["a/annotations.json: 1", "b/annotations.json: 0"]
    assert len({sample.id for sample in joined}) == 4


@pytest.mark.parametrize(("most", "wanted"), [(3, [0, 4, 9]), (1, [0]), (10, list(range(10))), (99, list(range(10)))])
def test_a_part_is_spread_evenly(tmp_path, most, wanted):
    joined = join_samples([write_set(tmp_path / "a", 10)], tmp_path, most)
    assert [sample.images[0] for sample in joined] == [f"a/images/{number}.png" for number in wanted]


def test_a_file_twice_or_elsewhere_is_refused(tmp_path):
    one, other = write_set(tmp_path / "a", 1), write_set(tmp_path / "b", 1)
    with pytest.raises(SamConfigurationError, match="is given twice"):
        join_samples([one, tmp_path / "b" / ".." / "a" / "annotations.json"], tmp_path)
    with pytest.raises(SamConfigurationError, match="is not under"):
        join_samples([one, other], tmp_path / "a")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SamDataError, match="gone"):
        join_samples([tmp_path / "a" / "gone.json"], tmp_path)
