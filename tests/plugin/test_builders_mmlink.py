"""The LAVIS builder `mmlink`, from its packaged configurations and from a folder."""

from pathlib import Path

import pytest
import torch
from lavis.common.registry import registry
from lavis.datasets.builders import load_dataset
from omegaconf import OmegaConf

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import storage_path
from lavis_sam.plugin.builders import MMLinkBuilder


def folder_config(folder, **changes):
    config = OmegaConf.load(MMLinkBuilder.default_config_path()).datasets.mmlink
    for name in ("train", "eval"):
        config.vis_processor[name].image_size = 16
    config.build_info.images.storage = str(folder)
    config.build_info.annotations.train.storage = str(folder / "annotations.json")
    return OmegaConf.merge(config, changes)


def test_registered_with_absolute_paths():
    assert registry.get_builder_class("mmlink") is MMLinkBuilder
    for kind, path in MMLinkBuilder.DATASET_CONFIG_DICT.items():
        assert Path(path).is_absolute()
        assert MMLinkBuilder.default_config_path(kind) == path
        assert OmegaConf.load(path).datasets.mmlink.type == kind


def test_unknown_type_lists_the_valid_ones():
    with pytest.raises(
        SamConfigurationError, match=r"unknown type 'photos'.*'photographs'.*Valid: default, photographs"
    ):
        MMLinkBuilder.default_config_path("photos")


def test_photographs_through_lavis():
    datasets = load_dataset("mmlink", cfg_path=MMLinkBuilder.default_config_path("photographs"))
    assert sorted(datasets) == ["test", "train"]
    item = datasets["test"][2]
    assert item["image"].shape == (3, 3, 224, 224)
    assert item["text_input"].startswith("What do the three ")


def test_a_folder(tmp_path):
    write_dataset(tmp_path, [record("a"), record("b")])
    datasets = MMLinkBuilder(folder_config(tmp_path)).build_datasets()
    assert sorted(datasets) == ["train"]
    assert isinstance(datasets["train"], MultiImageDataset)
    assert datasets["train"][0]["image"].shape == (3, 2, 16, 16)


def test_training_crops_at_random_and_evaluation_does_not(tmp_path):
    write_dataset(tmp_path, [record("a")])
    annotations = {"test": {"storage": str(tmp_path / "annotations.json")}}
    datasets = MMLinkBuilder(folder_config(tmp_path, build_info={"annotations": annotations})).build_datasets()
    assert "RandomResizedCrop" in str(datasets["train"].vis_processor.transform)
    assert "Random" not in str(datasets["test"].vis_processor.transform)


def test_several_annotation_files(tmp_path):
    one = write_dataset(tmp_path, [record("a")])
    two = write_dataset(tmp_path, [record("b")], lines=True)
    config = folder_config(tmp_path)
    config.build_info.annotations.train.storage = [str(one), str(two)]
    assert [sample.id for sample in MMLinkBuilder(config).build_datasets()["train"].annotation] == ["a", "b"]


def test_a_split_can_be_switched_off():
    config = OmegaConf.load(MMLinkBuilder.default_config_path("photographs")).datasets.mmlink
    config.build_info.annotations.test = None
    assert sorted(MMLinkBuilder(config).build_datasets()) == ["train"]


def test_relative_storage_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert storage_path("data/x.json") == tmp_path / "data" / "x.json"
    assert storage_path("~/x.json") == Path("/home/somebody/x.json")
    assert storage_path("package:assets/photographs").is_dir()


@pytest.mark.parametrize("name", ["blip_caption", "blip_question"])
def test_processors_that_rewrite_texts_are_refused(tmp_path, name):
    write_dataset(tmp_path, [record("a")])
    with pytest.raises(SamConfigurationError, match=f"train.name: found '{name}'.*sam_text"):
        MMLinkBuilder(folder_config(tmp_path, text_processor={"train": {"name": name}})).build_datasets()


def test_unknown_processor_lists_the_valid_ones(tmp_path):
    write_dataset(tmp_path, [record("a")])
    with pytest.raises(SamConfigurationError, match=r"unknown processor 'blip_image_evil'.*'blip_image_eval'"):
        MMLinkBuilder(folder_config(tmp_path, vis_processor={"eval": {"name": "blip_image_evil"}})).build_datasets()


def test_unknown_split_lists_the_valid_ones(tmp_path):
    write_dataset(tmp_path, [record("a")])
    config = folder_config(tmp_path, build_info={"annotations": {"valid": {"storage": "x"}}})
    with pytest.raises(SamConfigurationError, match=r"unknown split 'valid'.*Valid: test, train, val"):
        MMLinkBuilder(config).build_datasets()


@pytest.mark.parametrize("key", ["build_info.images.storage", "build_info.annotations", "vis_processor.eval.name"])
def test_missing_keys_are_named(tmp_path, key):
    write_dataset(tmp_path, [record("a")])
    config = folder_config(tmp_path)
    parent, _, leaf = key.rpartition(".")
    del OmegaConf.select(config, parent)[leaf]
    with pytest.raises(SamConfigurationError, match=key):
        MMLinkBuilder(config).build_datasets()


def test_wrong_annotations_are_reported(tmp_path):
    write_dataset(tmp_path, [record("a", output="")])
    with pytest.raises(SamDataError, match="1 x empty output"):
        MMLinkBuilder(folder_config(tmp_path)).build_datasets()


def test_batches_of_both_sizes(tmp_path):
    write_dataset(tmp_path, [record("a"), record("b", img_list=["one.png"])])
    dataset = MMLinkBuilder(folder_config(tmp_path)).build_datasets()["train"]
    batch = dataset.collater([dataset[0], dataset[1]])
    assert batch["image"].shape == (2, 3, 2, 16, 16)
    assert batch["image_mask"].tolist() == [[True, True], [True, False]]
    assert torch.isfinite(batch["image"]).all()
