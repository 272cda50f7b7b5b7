"""What `--data DIR` becomes: the data set `own`, with the splits that are there."""

import json

import pytest

from lavis_sam.datasets.own_data import own_datasets
from lavis_sam.errors import SamDataError

RECORDS = json.dumps([{"id": 1, "img_list": ["a.png"], "instruction": "What?", "output": "A cat."}])


def storages(section):
    return {split: node["storage"] for split, node in section["own"]["build_info"]["annotations"].items()}


def test_own_data_without_splits_are_for_training_or_for_what_is_asked(tmp_path):
    (tmp_path / "annotations.json").write_text(RECORDS)
    section = own_datasets(tmp_path)
    assert section["own"]["type"] == "default"
    assert section["own"]["build_info"]["images"] == {"storage": str(tmp_path)}
    assert storages(section) == {"train": str(tmp_path / "annotations.json")}
    assert storages(own_datasets(tmp_path, whole="test")) == {"test": str(tmp_path / "annotations.json")}
    assert storages(own_datasets(tmp_path / "annotations.json")) == {"train": str(tmp_path / "annotations.json")}


def test_own_data_with_splits_keep_them(tmp_path):
    for name in ("annotations.json", "annotations.train.json", "annotations.test.json"):
        (tmp_path / name).write_text(RECORDS)
    wanted = {split: str(tmp_path / f"annotations.{split}.json") for split in ("train", "test")}
    assert storages(own_datasets(tmp_path)) == storages(own_datasets(tmp_path, whole="test")) == wanted


def test_own_data_in_shards(tmp_path):
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shard-000000.tar").touch()
    assert own_datasets(tmp_path / "train")["own"]["type"] == "shards"
    assert storages(own_datasets(tmp_path / "train")) == {"train": str(tmp_path / "train")}
    assert storages(own_datasets(tmp_path)) == {split: str(tmp_path / split) for split in ("train", "test")}


@pytest.mark.parametrize("name", [".", "gone"])
def test_own_data_that_are_none_name_the_remedy(tmp_path, name):
    with pytest.raises(SamDataError, match="lavis-sam data collect"):
        own_datasets(tmp_path / name)
