"""The data set that a run leaves: folder, shards, nothing half."""

import json
import shutil

from helpers.synthesis import folder_digest
from helpers.synthesis_runs import NUM, SPOILED, make
from lavis_sam.datasets.annotations import read_annotations


def test_the_folder_is_a_data_set(finished):
    samples = read_annotations(finished / "annotations.json", finished)
    manifest = json.loads((finished / "manifest.json").read_text())
    assert len(samples) == manifest["accepted"] == NUM
    assert all(len(sample.images) == 2 for sample in samples)
    assert not (finished / "work").exists()
    assert not list(finished.rglob("*.tmp"))
    named = {image for sample in samples for image in sample.images}
    assert named == {path.relative_to(finished).as_posix() for path in (finished / "images").rglob("*.jpg")}


def test_shards_hold_the_same_samples(finished):
    import webdataset

    manifest = json.loads((finished / "manifest.json").read_text())
    paths = [finished / shard["file"] for shard in manifest["shards"]]
    assert [shard["samples"] for shard in manifest["shards"]] == [6, 6, 2]
    annotations = json.loads((finished / "annotations.json").read_text())
    stored = list(webdataset.WebDataset([str(path) for path in paths], shardshuffle=False))
    assert [sample["__key__"] for sample in stored] == [annotation["id"] for annotation in annotations]
    assert [json.loads(sample["json"]) for sample in stored] == annotations
    for sample, annotation in zip(stored, annotations, strict=True):
        images = [content for name, content in sample.items() if name[0].isdigit()]
        assert images == [(finished / image).read_bytes() for image in annotation["img_list"]]


def test_left_overs_of_a_kill_are_removed(finished, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(finished, root)
    for place in (".a.1-2.tmp", "images/000/.b.1-2.tmp"):
        (root / place).write_bytes(b"half")
    (root / "work" / "parts").mkdir(parents=True)  # killed while it cleared up
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)
