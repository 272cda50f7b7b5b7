"""What a path given to `data stats` and `data preview` stands for."""

import logging

import pytest

from helpers.dummies import record, write_dataset
from helpers.shards import sharded
from lavis_sam.datasets.folder import is_sharded, open_folder
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.errors import SamDataError


def test_a_folder_its_file_and_another_root(tmp_path):
    path = write_dataset(tmp_path / "d", [record("a")])
    for given in (tmp_path / "d", path):
        dataset = open_folder(given)
        assert [sample.id for sample in dataset.annotation] == ["a"]
        assert [image.size for image in dataset.images(0)] == [(12, 10)] * 2
    moved = path.rename(tmp_path / "annotations.json")
    assert open_folder(moved, images=tmp_path / "d").images(0)


def test_shards_a_tar_file_and_both(tmp_path):
    _, path = sharded(tmp_path)
    assert isinstance(open_folder(path).store, ShardImages)
    assert isinstance(open_folder(path / "000000.tar").store, ShardImages)
    write_dataset(path, [record("a")])  # as `lavis-sam synthesize` leaves it: annotations and shards
    assert not is_sharded(path)
    assert [sample.id for sample in open_folder(path).annotation] == ["a"]


def test_bad_samples_are_dropped_and_counted(tmp_path, caplog):
    write_dataset(tmp_path, [record("a"), record("b", output="")])
    with caplog.at_level(logging.WARNING):
        assert len(open_folder(tmp_path)) == 1
    assert "1 dropped (1 x empty output)" in caplog.text


def test_neither(tmp_path):
    with pytest.raises(SamDataError, match=r"found none of annotations\.json"):
        open_folder(tmp_path)
