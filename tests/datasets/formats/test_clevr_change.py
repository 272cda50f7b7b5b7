"""CLEVR-Change without its list of splits."""

from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.reading import read_dataset


def test_clevr_change_without_splits(tmp_path):
    MINIATURES["clevr_change"](tmp_path)
    (tmp_path / "splits.json").unlink()
    everything = read_dataset("clevr_change", tmp_path / "change_captions.json", tmp_path)
    assert [sample.id for sample in everything.samples] == [
        "000000-semantic",
        "000000-nonsemantic",
        "000002-nonsemantic",
        "000013-semantic",
    ]
    report = read_dataset("clevr_change", tmp_path, tmp_path, split="train")
    assert not report.usable
    assert "splits.json" in report.summary()
