"""Whole runs on fake backends: what comes out depends on configuration, number and seed, and on nothing else."""

import os
import random
import shutil
from pathlib import Path

import pytest

from helpers.synthesis import config, folder_digest
from helpers.synthesis_runs import NUM, SEED, SPOILED, make, make_until_killed, settings
from lavis_sam import files
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.dataset_writer import read_lines
from lavis_sam.synthesis.run import kinds_of_slots
from lavis_sam.synthesis.runners.local import LocalRunner


def test_no_two_samples_are_near_duplicates(finished):
    hashes = [
        [int(image["hash"], 16) for image in sample["pictures"]] for sample in read_lines(finished / "samples.jsonl")
    ]
    for index, sample in enumerate(hashes):
        for earlier in hashes[:index]:
            worst = max(min((value ^ other).bit_count() for other in earlier) for value in sample)
            assert worst >= 23


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(finished, tmp_path, workers):
    make(tmp_path / "set", SPOILED, runner=LocalRunner(workers))
    assert folder_digest(tmp_path / "set") == folder_digest(finished)


def test_the_seed_changes_everything(finished, tmp_path):
    make(tmp_path / "set", SPOILED, seed=SEED + 1)
    images = {name: digest for name, digest in folder_digest(tmp_path / "set").items() if name.startswith("images")}
    before = folder_digest(finished)
    assert all(before.get(name) != digest for name, digest in images.items())


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


def test_a_finished_set_is_left_as_it_is(finished, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(finished, root)
    dates = {path: path.stat().st_mtime_ns for path in root.rglob("*.*")}
    manifest = make(root, SPOILED, resume=True)
    assert manifest["accepted"] == NUM
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.*")} == dates


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
