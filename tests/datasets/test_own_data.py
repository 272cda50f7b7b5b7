"""What `--data DIR` becomes: the data set `own`, with the splits that are there."""

import json
from pathlib import Path

import pytest

from lavis_sam.datasets.own_data import own_datasets, own_names, storage_of_test
from lavis_sam.errors import SamConfigurationError, SamDataError

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


def test_names_and_paths_of_data_sets_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "deep/set", "vist"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mine" / "annotations.test.json").write_text("[]")
    (tmp_path / "mine" / "extra.json").write_text("[]")
    names, own = own_names(["vist", "2b", "storytelling", "mmlink", "gone", "mine", "deep/set", "other=vist"])
    assert names == ["vist", "2b", "storytelling", "mmlink", "gone"]  # a known name wins over a folder
    assert own == {"mine": Path("mine"), "set": Path("deep/set"), "other": Path("vist")}
    assert own_names(["mine/annotations.test.json"])[1] == {"mine": Path("mine/annotations.test.json")}
    assert own_names(["mine/extra.json"])[1] == {"extra": Path("mine/extra.json")}
    with pytest.raises(SamConfigurationError, match="called 'mine', wanted the name of one folder, another for each"):
        own_names(["mine", "mine=deep/set"])


def test_the_test_split_of_own_data(tmp_path):
    with pytest.raises(SamDataError, match="found neither"):
        storage_of_test(tmp_path)
    (tmp_path / "annotations.train.json").write_text("[]")
    with pytest.raises(SamDataError, match="found the splits train, wanted test"):
        storage_of_test(tmp_path)
    (tmp_path / "annotations.test.json").write_text("[]")
    assert storage_of_test(tmp_path) == tmp_path / "annotations.test.json"
