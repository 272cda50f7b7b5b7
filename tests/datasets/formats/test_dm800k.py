"""DM800K with a file for each split."""

import json

from helpers.release_parts import write_images
from lavis_sam.datasets.formats.reading import read_dataset


def test_articles_of_several_files(tmp_path):
    """An export with a file for each split needs no field `split`."""
    write_images(tmp_path, "h.jpg")
    for split in ("train", "test"):
        article = {"_id": split, "parsed_section": [{"type": "caption", "text": "C.", "hash": "h"}]}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(article))
    report = read_dataset("dm800k", tmp_path, tmp_path)
    assert [(sample.id, split) for sample, split in zip(report.samples, report.splits, strict=True)] == [
        ("train", "train"),
        ("test", "test"),
    ]
    assert [sample.id for sample in read_dataset("dm800k", tmp_path, tmp_path, split="test").samples] == ["test"]
