"""The eleven builders, each reading its miniature release through LAVIS, from its packaged configuration."""

import logging
import os
from pathlib import Path

import pytest
from lavis.common.registry import registry
from omegaconf import OmegaConf

import lavis_sam
from helpers.dummies import record, write_dataset
from helpers.release_parts import write_json
from helpers.releases import MINIATURES
from lavis_sam.datasets.catalogue import CATALOGUE
from lavis_sam.errors import SamConfigurationError, SamDataError

# Their texts name left and right, which a random flip would make wrong.
NAME_SIDES = {"spot_the_diff", "clevr_change", "birds_to_words", "iedit", "dm800k"}


def packaged(name):
    return OmegaConf.load(registry.get_builder_class(name).default_config_path()).datasets[name]


def configured(miniature, **build_info):
    """The packaged configuration with the miniature's paths, small images and further changes."""
    config = packaged(miniature.name)
    for kind in ("train", "eval"):
        config.vis_processor[kind].image_size = 16
    config.build_info.images.storage = str(miniature.images)
    config.build_info.annotations = {split: {"storage": str(path)} for split, path in miniature.storages.items()}
    return OmegaConf.merge(config, {"build_info": build_info})


def build(config, name):
    return registry.get_builder_class(name)(config).build_datasets()


@pytest.fixture(params=list(MINIATURES))
def miniature(request, tmp_path):
    return MINIATURES[request.param](tmp_path)


def test_all_formats_have_a_builder():
    for name in CATALOGUE:
        assert name == registry.get_builder_class(name).FORMAT


def test_original_release(miniature):
    datasets = build(configured(miniature), miniature.name)
    assert set(datasets) == set(miniature.samples)
    for split, dataset in datasets.items():
        assert len(dataset) == len(miniature.samples[split])
        for index, expected in enumerate(miniature.samples[split]):
            item = dataset[index]
            assert item["image"].shape == (3, len(expected.images), 16, 16)
            assert (str(item["sample_id"]), item["text_output"]) == (expected.id, expected.output)
            assert item["references"] == list(expected.references)
            assert item["text_input"].endswith(expected.context)


def test_unified_format(miniature, tmp_path):
    """The same builder reads the authors' test format, without being printed so."""
    folder = tmp_path / "unified"
    folder.mkdir()
    write_dataset(folder, [record(3), record("b", references=["One", "Two"])])
    config = configured(miniature)
    config.build_info.images.storage = str(folder)
    config.build_info.annotations = {
        "train": {"storage": str(folder / "annotations.json")},
        "test": {"storage": str(folder)},
    }
    for dataset in build(config, miniature.name).values():
        assert [sample.id for sample in dataset.annotation] == [3, "b"]
        assert dataset[1]["references"] == ["One", "Two"]
        assert dataset[0]["text_input"] == "What?"


def test_bad_samples_are_dropped_and_told(miniature, caplog):
    with caplog.at_level(logging.WARNING, logger="lavis_sam"):
        build(configured(miniature), miniature.name)
    printed = "\n".join(message.getMessage() for message in caplog.records if message.name.startswith("lavis_sam"))
    assert bool(printed) == bool(miniature.problems)
    for kind in miniature.problems:
        assert f"x {kind}" in printed


def test_strict_refuses_bad_samples(miniature):
    if not miniature.problems:
        assert build(configured(miniature, strict=True), miniature.name)
        return
    with pytest.raises(SamDataError, match="problem"):
        build(configured(miniature, strict=True), miniature.name)


def test_packaged_configurations_are_complete():
    folder = Path(lavis_sam.__path__[0]) / "configs" / "datasets"
    for name in CATALOGUE:
        config = packaged(name)
        text = (folder / name / "defaults.yaml").read_text(encoding="utf-8")
        assert text.startswith("# "), "a configuration opens with what it reads"
        assert set(config.build_info.annotations) <= {"train", "val", "test"}
        assert config.build_info.check == "quick"
        assert config.build_info.strict is False
        train = config.vis_processor.train
        flips = train.get("flip", True)
        assert flips is (name not in NAME_SIDES)
        assert train.name == ("blip2_image_train" if flips else "sam_image_train")
        assert dict(config.build_info.get("options") or {}) == dict(CATALOGUE[name].options)


@pytest.mark.parametrize("name", sorted(NAME_SIDES))
def test_no_flip_where_texts_name_sides(name, tmp_path):
    miniature = MINIATURES[name](tmp_path)
    dataset = build(configured(miniature), name)["train"]
    assert "Flip" not in str(dataset.vis_processor.transform)
    assert "RandomResizedCrop" in str(dataset.vis_processor.transform)


def test_options_and_prompt_sets(tmp_path):
    miniature = MINIATURES["nico_animal"](tmp_path)
    datasets = build(configured(miniature, options={"group_size": 2}, prompt_set="published"), "nico_animal")
    first = datasets["test"].annotation[0]
    assert first.instruction.startswith("Sum up the common factor in these two ")
    assert len(first.images) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"options": {"groupsize": 2}}, "unknown option 'groupsize'.*Did you mean 'group_size'"),
        ({"options": {"group_size": 0}}, "group_size: found 0"),
        ({"options": {"target": "colour"}}, "unknown target 'colour'"),
        ({"prompt_set": "mine"}, "unknown prompt_set 'mine'.*default, demon, published"),
        ({"form": "parquet"}, "unknown form 'parquet'"),
        ({"check": "slow"}, "unknown check 'slow'"),
    ],
)
def test_wrong_settings_are_named(tmp_path, changes, words):
    with pytest.raises(SamConfigurationError, match=words):
        build(configured(MINIATURES["nico_animal"](tmp_path), **changes), "nico_animal")


def test_change_captioning_has_no_published_prompts(tmp_path):
    with pytest.raises(SamConfigurationError, match="unknown prompt_set 'published'"):
        build(configured(MINIATURES["spot_the_diff"](tmp_path), prompt_set="published"), "spot_the_diff")


def test_release_can_be_insisted_on(tmp_path):
    """With `form: release`, a file in the unified format is not taken for the release."""
    path = write_json(tmp_path / "test.json", [record()])
    (tmp_path / "images").mkdir()
    config = configured(MINIATURES["conceptual"](tmp_path / "release"), form="release")
    config.build_info.annotations.test.storage = str(path)
    with pytest.raises(SamDataError, match="targets: found None"):
        build(config, "conceptual")


def test_missing_paths_name_the_key(tmp_path):
    config = configured(MINIATURES["vist"](tmp_path))
    config.build_info.annotations.train.storage = str(tmp_path / "nowhere.json")
    with pytest.raises(SamDataError, match=r"nowhere\.json.*build_info\.annotations"):
        build(config, "vist")
    config = configured(MINIATURES["vist"](tmp_path))
    config.build_info.images.storage = str(tmp_path / "nowhere")
    with pytest.raises(SamDataError, match=r"nowhere.*build_info\.images\.storage"):
        build(config, "vist")


def test_a_link_out_of_the_images_is_refused(tmp_path):
    miniature = MINIATURES["spot_the_diff"](tmp_path)
    (tmp_path / "secret.png").write_bytes((miniature.images / "256.png").read_bytes())
    (miniature.images / "256.png").unlink()
    os.symlink(tmp_path / "secret.png", miniature.images / "256.png")
    dataset = build(configured(miniature), "spot_the_diff")["train"]
    assert [sample.id for sample in dataset.annotation] == ["17"]
