"""Conceptual Captions' groups: the targets are shown, the references never."""

from helpers.release_parts import write_images, write_json
from lavis_sam.datasets.formats.reading import read_dataset


def test_conceptual_groups_show_their_targets_alone(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg", "other.jpg")
    record = {"id": 5, "targets": ["a.jpg", "b.jpg"], "references": ["other.jpg"], "caption": " Two dogs "}
    nameless = {"targets": ["a.jpg"], "references": [], "caption": "x"}
    path = write_json(tmp_path / "train.json", [record, nameless])
    report = read_dataset("conceptual", path, tmp_path)
    (sample,) = report.samples
    assert (sample.id, sample.images, sample.output) == ("5", ("a.jpg", "b.jpg"), "Two dogs")
    assert report.splits == ["train"]
    assert [problem.kind for problem in report.problems] == ["wrong id"]
