"""Whole runs on fake backends: what comes out depends on configuration, number and seed, and on nothing else."""

import errno
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from helpers.synthesis import config, folder_digest
from lavis_sam import files
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.dataset_writer import read_lines
from lavis_sam.synthesis.run import kinds_of_slots, synthesize
from lavis_sam.synthesis.runners.local import LocalRunner, SerialRunner

NUM, SEED = 14, 3
# Some tries fail and some samples repeat, so that the hard ways are walked too.
SPOILED = config(
    sources={"characters": {"backend": "helpers.synthesis:FakeShapes", "spoil": "raise", "every": 3}},
    quality={"duplicates.distance": {"min": 23}},
    run={"attempts": 30, "rounds": 9},
)


def settings(plain=None):
    return SynthesisSettings.from_config(plain or config())


def make(root, plain=None, *, num=NUM, seed=SEED, runner=None, resume=False):
    return synthesize(settings(plain), root, num=num, seed=seed, runner=runner or SerialRunner(), resume=resume)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The spoiled run, made without interruption; read only."""
    root = tmp_path_factory.mktemp("finished") / "set"
    make(root, SPOILED)
    return root


def test_the_folder_is_a_data_set(finished):
    samples = read_annotations(finished / "annotations.json", finished)
    manifest = json.loads((finished / "manifest.json").read_text())
    assert len(samples) == manifest["accepted"] == NUM
    assert all(len(sample.images) == 2 for sample in samples)
    assert not (finished / "work").exists()
    assert not list(finished.rglob("*.tmp"))
    named = {image for sample in samples for image in sample.images}
    assert named == {path.relative_to(finished).as_posix() for path in (finished / "images").rglob("*.jpg")}


def test_samples_say_how_they_were_made(finished):
    for sample in read_lines(finished / "samples.jsonl"):
        assert sample["seed"] == SEED
        assert sample["backends"]["segment"] == "not white 1"
        assert sample["scores"]["text.attributes"] == [1.0]
        for obj in sample["objects"]:
            assert obj["licence"] == "none"
            assert obj["source"]
        for image in sample["pictures"]:
            assert len(image["hash"]) == 16
            for obj in image["objects"]:
                assert obj["mask"]["size"] == ([128, 128] if sample["kind"] != "covers" else [128, 85])


def test_masks_can_be_read_by_anybody(finished):
    from pycocotools import mask as coco

    sample = next(sample for sample in read_lines(finished / "samples.jsonl") if sample["kind"] == "characters")
    for obj in sample["pictures"][0]["objects"]:
        left, top, width, height = coco.toBbox(obj["mask"])
        x, y, box_width, box_height = obj["box"]
        assert abs(left - x) <= 2
        assert abs(top - y) <= 2
        assert abs(width - box_width) <= 3
        assert abs(height - box_height) <= 3


def test_rejections_have_reason_stage_and_value(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    rejections = list(read_lines(finished / "rejections.jsonl"))
    assert len(rejections) == manifest["tries"] - manifest["accepted"] > 0
    assert {rejection["reason"] for rejection in rejections} == {"SamDataError", "duplicates.distance"}
    for rejection in rejections:
        if rejection["reason"] == "duplicates.distance":
            assert rejection["stage"] == "duplicates"
            assert rejection["value"] < 23
            assert "at least 23" in rejection["limit"]
        else:
            assert "is broken" in rejection["limit"]
            assert rejection["stage"] == "plan"
    assert manifest["stages"]["plan"]["entered"] == manifest["tries"]
    assert manifest["stages"]["duplicates"]["passed"] == NUM


def test_no_two_samples_are_near_duplicates(finished):
    hashes = [
        [int(image["hash"], 16) for image in sample["pictures"]] for sample in read_lines(finished / "samples.jsonl")
    ]
    for index, sample in enumerate(hashes):
        for earlier in hashes[:index]:
            worst = max(min((value ^ other).bit_count() for other in earlier) for value in sample)
            assert worst >= 23


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


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(finished, tmp_path, workers):
    make(tmp_path / "set", SPOILED, runner=LocalRunner(workers))
    assert folder_digest(tmp_path / "set") == folder_digest(finished)


def test_the_seed_changes_everything(finished, tmp_path):
    make(tmp_path / "set", SPOILED, seed=SEED + 1)
    images = {name: digest for name, digest in folder_digest(tmp_path / "set").items() if name.startswith("images")}
    before = folder_digest(finished)
    assert all(before.get(name) != digest for name, digest in images.items())


class Killed(BaseException):
    """As sudden as a signal: no handler of errors sees it."""


def die_at_rename(monkeypatch, number):
    """From the n-th file on, nothing gets onto the disk any more."""
    left = [number]
    replace = os.replace

    def failing(source, destination):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        replace(source, destination)

    monkeypatch.setattr(files.os, "replace", failing)


def make_until_killed(monkeypatch, root, number):
    with monkeypatch.context() as patch:
        die_at_rename(patch, number)
        with pytest.raises(Killed):
            make(root, SPOILED, resume=True)


def count_renames(monkeypatch, root):
    counted = []
    replace = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", lambda *names: counted.append(names) or replace(*names))
        make(root, SPOILED)
    return len(counted)


def test_a_run_killed_anywhere_continues_to_the_same_bytes(finished, tmp_path, monkeypatch):
    total = count_renames(monkeypatch, tmp_path / "counted")
    # Ten places, and the last three: annotations, shards and manifest.
    for number in [*random.Random(0).sample(range(total), 10), total - 3, total - 2, total - 1]:
        root = tmp_path / f"killed {number}"
        make_until_killed(monkeypatch, root, number)
        assert not (root / "manifest.json").exists()
        make(root, SPOILED, resume=True)
        assert folder_digest(root) == folder_digest(finished), f"killed at file {number} of {total}"
        shutil.rmtree(root)


def test_a_run_killed_again_and_again_arrives(finished, tmp_path, monkeypatch):
    root = tmp_path / "set"
    for number in (1, 9, 8, 10, 2):
        make_until_killed(monkeypatch, root, number)
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)


def test_left_overs_of_a_kill_are_removed(finished, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(finished, root)
    for place in (".a.1-2.tmp", "images/000/.b.1-2.tmp"):
        (root / place).write_bytes(b"half")
    (root / "work" / "parts").mkdir(parents=True)  # killed while it cleared up
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)


def test_a_finished_set_is_left_as_it_is(finished, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(finished, root)
    dates = {path: path.stat().st_mtime_ns for path in root.rglob("*.*")}
    manifest = make(root, SPOILED, resume=True)
    assert manifest["accepted"] == NUM
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.*")} == dates


def test_a_damaged_part_is_made_again(finished, tmp_path, monkeypatch):
    root = tmp_path / "set"
    make_until_killed(monkeypatch, root, 30)
    parts = sorted((root / "work" / "parts").iterdir())
    parts[0].write_text(parts[0].read_text()[:-40])
    next((root / "images").rglob("*.jpg")).unlink()
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": SEED + 1}, "seed: 3 before, 4 now"),
        ({"num": 5}, "num: 14 before, 5 now"),
        ({"plain": config()}, "settings.sources.characters.options"),
    ],
)
def test_only_the_same_run_is_resumed(finished, tmp_path, change, message):
    with pytest.raises(SamConfigurationError, match="cannot resume") as error:
        make(finished, **({"plain": SPOILED} | change), resume=True)
    assert message in str(error.value)


def test_a_folder_in_use_is_not_touched(finished, tmp_path):
    with pytest.raises(SamConfigurationError, match=r"holds a finished data set. Add --resume"):
        make(finished, SPOILED)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(SamConfigurationError, match=r"found 'photo.jpg' and more, wanted a new or an empty folder"):
        make(tmp_path, SPOILED, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_two_runs_in_one_folder_are_refused(tmp_path):
    from lavis_sam.synthesis.work_folder import WorkFolder

    folder = WorkFolder(tmp_path / "set")
    with folder.opened({"a": 1}, resume=False):
        second = WorkFolder(tmp_path / "set").opened({"a": 1}, resume=True)
        with pytest.raises(SamConfigurationError, match="another process"):
            second.__enter__()


def test_a_full_disk_is_one_clear_error_and_keeps_what_is_finished(finished, tmp_path, monkeypatch):
    root = tmp_path / "set"
    replace, left = os.replace, [25]

    def full(source, destination):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(destination))
        replace(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(OSError, match="No space left on device"):
            make(root, SPOILED)
    assert len(list((root / "work" / "parts").iterdir())) >= 2
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)


def test_places_that_nothing_fits_stay_empty_and_are_counted(tmp_path):
    plain = config(quality={"composite.visible": {"min": 0.9}})
    manifest = make(tmp_path / "set", plain, num=8)
    kinds = kinds_of_slots(settings(plain), 8, SEED)
    assert manifest["unfilled"] == 8 - kinds.count("covers")
    assert manifest["accepted"] == kinds.count("covers")
    assert manifest["rejections"]["composite.visible"]["count"] == manifest["unfilled"] * 6
    assert len(read_annotations(tmp_path / "set" / "annotations.json", tmp_path / "set")) == kinds.count("covers")
    shown = list((tmp_path / "set" / "rejected" / "composite.visible").iterdir())
    assert len(shown) == 6, "a few images of each reason are kept, not all"


def test_a_missing_package_ends_the_run_at_once(tmp_path):
    plain = config(stages={"segment": {"backend": "no_such_package:Segmenter"}})
    with pytest.raises(SamConfigurationError, match=r"stages\.segment: no_such_package:Segmenter cannot be imported"):
        make(tmp_path / "set", plain)


@pytest.mark.parametrize("num", [0, -1])
def test_impossible_numbers(tmp_path, num):
    with pytest.raises(SamConfigurationError, match="wanted num of at least 1"):
        make(tmp_path / "set", num=num)


def test_kinds_are_mixed_by_weight():
    plain = config(kinds={"characters": 2, "icons": 1, "covers": 0})
    kinds = kinds_of_slots(settings(plain), 60, 0)
    assert kinds.count("characters") in (39, 40, 41)
    assert "covers" not in kinds
    assert kinds[:30].count("icons") in (9, 10, 11)


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(SamDataError, match=r"manifest\.json: not JSON"):
        make(tmp_path, resume=True)


def test_more_samples_begin_with_the_same_ones(tmp_path):
    """What a place holds does not depend on how many there are."""
    for num in (4, 8):
        make(tmp_path / str(num), num=num)
    few, many = (list(read_lines(tmp_path / str(num) / "samples.jsonl")) for num in (4, 8))
    assert [sample["instruction"] for sample in few] == [sample["instruction"] for sample in many[:4]]
    assert (
        Path(tmp_path / "4" / "images/000/000000_1.jpg").read_bytes()
        == Path(tmp_path / "8" / "images/000/000000_1.jpg").read_bytes()
    )
