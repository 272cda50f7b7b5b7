"""NICO in other layouts of its folders."""

from pathlib import Path

from helpers.release_parts import write_images, write_no_image
from lavis_sam.datasets.formats.reading import read_dataset


def kinds(report):
    return [problem.kind for problem in report.problems]


def test_nico_by_concept_and_context(tmp_path):
    for context in ("on grass", "on snow"):
        write_images(tmp_path / "ANIMALS" / "dog" / context, *[f"{k}.jpg" for k in range(5)])
    write_no_image(tmp_path / "ANIMALS" / "dog" / "on snow" / "0.jpg")
    report = read_dataset("nico_animal", tmp_path, tmp_path, options={"group_size": 2, "target": "concept_context"})
    assert [(sample.id, sample.output) for sample in report.samples] == [
        ("dog on grass-0", "dog on grass"),
        ("dog on grass-1", "dog on grass"),
        ("dog on snow-0", "dog on snow"),
        ("dog on snow-1", "dog on snow"),
    ]
    used = [image for sample in report.samples for image in sample.images]
    assert len(set(used)) == len(used) == 8
    assert report.samples[2].images == ("ANIMALS/dog/on snow/1.jpg", "ANIMALS/dog/on snow/2.jpg")
    assert kinds(report) == ["unreadable image"]


def test_nico_groups_use_as_many_images_as_they_can(tmp_path):
    """1, 1, 4 and 2 images make four pairs of different contexts, if the largest context comes first each time."""
    for context, count in (("a", 1), ("b", 1), ("c", 4), ("d", 2)):
        write_images(tmp_path / "vehicle" / "car" / context, *[f"{k}.jpg" for k in range(count)])
    report = read_dataset("nico_vehicle", tmp_path / "vehicle", tmp_path, options={"group_size": 2})
    assert len(report.samples) == 4
    for sample in report.samples:
        assert len({image.split("/")[2] for image in sample.images}) == 2
    assert not report.repairs


def test_nico_however_its_folder_is_spelled(tmp_path, monkeypatch):
    for context in "abcde":
        write_images(tmp_path / "nico" / "Animal" / "dog" / context, "1.jpg")
    monkeypatch.chdir(tmp_path)
    for annotations in ("nico", "nico/Animal", tmp_path / "nico" / "Animal", "nico/../nico/Animal", tmp_path):
        report = read_dataset("nico_animal", Path(annotations), tmp_path / "nico")
        assert report.samples[0].images[0] == "Animal/dog/a/1.jpg", annotations


def test_nico_concepts_right_below_the_root(tmp_path):
    for context in "abcde":
        write_images(tmp_path / "dog" / context, "1.jpg")
    report = read_dataset("nico_animal", tmp_path, tmp_path)
    assert [sample.id for sample in report.samples] == ["dog-0"]


def test_nico_without_its_superclass_says_so(tmp_path):
    write_images(tmp_path / "Vehicles" / "bus" / "on road", "1.jpg")
    report = read_dataset("nico_animal", tmp_path, tmp_path)
    assert not report.usable
    assert "animal" in report.summary()
