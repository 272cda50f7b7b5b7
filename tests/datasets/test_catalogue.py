"""One entry makes a data set known to readers, commands and LAVIS."""

import json
import subprocess
import sys

import pytest
from lavis.common.registry import registry
from omegaconf import OmegaConf
from PIL import Image
from typer.testing import CliRunner

from lavis_sam.cli import app
from lavis_sam.datasets.catalogue import BENCHMARKS, CATALOGUE, DatasetEntry, Source, add_entry, entry_named
from lavis_sam.datasets.formats.fields import text, texts
from lavis_sam.datasets.formats.release import Entry
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin import builders

# What somebody writes for a data set of their own ---------------------------------------------------------------------


def entries(release):
    for split, path in release.files({"train": "zoo.json"}):
        for place, record in release.records(path):
            with release.reporting(place):
                images = release.image_names.find(*[[name] for name in texts(record, "photos")])
                yield Entry(text(record, "name"), images, (text(record, "about"),), place, split=split)


def zoo_entry(config):
    return DatasetEntry(
        name="zoo",
        title="Zoo",
        builder="ZooBuilder",
        about="Two photographs of one kind of animal.",
        task="group_captioning",
        source=Source("https://example.org/zoo", "CC0"),
        entries=entries,
        benchmark="group captioning",
        configs={"default": str(config)},
    )


# ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def zoo(tmp_path):
    """The release in miniature, with its configuration; what was registered is forgotten afterwards."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (12, 10), "red").save(tmp_path / name)
    (tmp_path / "zoo.json").write_text(json.dumps([{"name": "7", "photos": ["a.png", "b.png"], "about": "Two apes."}]))
    section = OmegaConf.load(builders.MMLinkBuilder.default_config_path()).datasets.mmlink
    section.build_info.images.storage = str(tmp_path)
    section.build_info.annotations.train.storage = str(tmp_path / "zoo.json")
    OmegaConf.save({"datasets": {"zoo": section}}, tmp_path / "zoo.yaml")
    yield tmp_path
    CATALOGUE.pop("zoo", None)
    registry.mapping["builder_name_mapping"].pop("zoo", None)


def test_register_dataset_makes_a_builder_that_lavis_finds(zoo):
    builder = builders.register_dataset(zoo_entry(zoo / "zoo.yaml"))
    assert registry.get_builder_class("zoo") is builder is builders.ZooBuilder
    (dataset,) = builder(OmegaConf.load(builder.default_config_path()).datasets.zoo).build_datasets().values()
    assert dataset[0]["image"].shape == (3, 2, 224, 224)
    assert dataset[0]["text_output"] == "Two apes."


def test_an_entry_is_enough_for_convert_and_for_the_table_of_its_benchmark(zoo):
    add_entry(zoo_entry(zoo / "zoo.yaml"))
    arguments = ["--annotations", str(zoo / "zoo.json"), "--images", str(zoo), "--out", str(zoo / "out")]
    result = CliRunner().invoke(app, ["data", "convert", "zoo", *arguments])
    assert result.exit_code == 0, result.output
    (sample,) = json.loads((zoo / "out" / "annotations.json").read_text())
    assert (sample["id"], sample["output"]) == ("7", "Two apes.")
    assert [entry.title for entry in BENCHMARKS[0].sets] == ["Conceptual", "Animal", "Vehicle", "Zoo"]


def test_add_entry_refuses_a_name_that_is_taken_and_an_unknown_benchmark(zoo):
    entry = zoo_entry(zoo / "zoo.yaml")
    add_entry(entry)
    with pytest.raises(SamConfigurationError, match="data set 'zoo': the name is taken by Zoo"):
        add_entry(entry)
    with pytest.raises(SamConfigurationError, match="unknown benchmark 'naming'"):
        add_entry(DatasetEntry("x", "X", "XBuilder", "X.", "storytelling", entry.source, benchmark="naming"))


def test_entry_named_lists_the_names_it_knows():
    assert entry_named("vist").title == "VIST"
    with pytest.raises(SamConfigurationError, match=r"unknown format 'vists'.*Did you mean 'vist'"):
        entry_named("vists")


def test_every_entry_has_a_builder_of_its_name():
    for entry in CATALOGUE.values():
        builder = getattr(builders, entry.builder)
        assert (builder.__name__, builder.__doc__, builder.FORMAT) == (entry.builder, entry.about, entry.name)
        assert list(builder.DATASET_CONFIG_DICT) == list(entry.configs)


def test_the_catalogue_needs_neither_torch_nor_lavis():
    code = "import sys, lavis_sam.datasets.catalogue; print({'torch', 'lavis', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
