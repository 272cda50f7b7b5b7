"""Whole runs on real models' code, with tiny random weights in their real layouts: complete, killed, resumed."""

import json

import pytest

from helpers import synthesis_models
from helpers.synthesis import config, folder_digest
from helpers.synthesis_runs import Killed, die_at_rename, make
from helpers.vision_language import write_instructblip
from lavis_sam.synthesis.backends import captioning
from lavis_sam.synthesis.runners.local import LocalRunner

NUM = 6
# What random weights find, paint and say meets no threshold; one is kept that the duplicates' search needs.
JUDGED = {"duplicates.distance": {"min": 0}}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A configuration of all four models."""
    root = tmp_path_factory.mktemp("models")
    on_cpu = {"device": "cpu"}
    stages = {
        "segment": {
            "backend": "segment_anything",
            "model": str(synthesis_models.write_segment_anything(root / "sam")),
            "points_per_side": 2,
        },
        "inpaint": {
            "backend": "diffusers",
            "model": str(synthesis_models.write_stable_diffusion(root / "sd")),
            "steps": 2,
        },
        "describe": {
            "backend": "instructblip",
            "model": str(write_instructblip(root / "instructblip")),
            "num_beams": 1,
            "max_length": 8,
        },
        "score": {"backend": "clip", "model": str(synthesis_models.write_clip(root / "clip"))},
    }
    stages = {job: {**backend, **on_cpu} for job, backend in stages.items()}
    made = config(stages=stages, kinds={"characters": 1, "furniture": 1})
    return {
        **made,
        "pictures": {"size": 64},
        "quality": JUDGED,
        "run": {"part_size": 2, "shard_size": 4, "attempts": 8},
    }


@pytest.fixture(autouse=True)
def _any_words(monkeypatch):
    """Random weights write bytes; what is checked of captions is tested where they are read."""
    monkeypatch.setattr(captioning, "_MOST_FOREIGN", 1.0)


@pytest.fixture(scope="module")
def whole(plain, tmp_path_factory):
    """A run without interruption."""
    root = tmp_path_factory.mktemp("whole") / "set"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captioning, "_MOST_FOREIGN", 1.0)
        make(root, plain, num=NUM)
    return root


@pytest.mark.integration
def test_run_of_models_fills_every_record(whole):
    samples = [json.loads(line) for line in (whole / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == NUM
    for sample in samples:
        assert {"mask.predicted_iou", "mask.stability", "subject.difference"} <= set(sample["scores"])
        assert {"semantic.object_similarity", "semantic.background_similarity"} <= set(sample["scores"])
        assert sample["backends"]["segment"].startswith("segment_anything 1 ")


@pytest.mark.integration
def test_run_of_models_is_the_same_by_two_workers(plain, tmp_path):
    """Without captions: what random weights write is refused, and a worker cannot be shown otherwise."""
    templates = {**plain, "stages": {**plain["stages"], "describe": {"backend": "helpers.synthesis:FakeDescriber"}}}
    make(tmp_path / "one", templates, num=4)
    make(tmp_path / "two", templates, num=4, runner=LocalRunner(2))
    assert folder_digest(tmp_path / "one") == folder_digest(tmp_path / "two")


@pytest.mark.integration
def test_run_of_models_that_was_killed_goes_on_to_the_same_bytes(whole, plain, tmp_path, monkeypatch):
    root = tmp_path / "set"
    for number in (4, 9):
        with monkeypatch.context() as patch:
            die_at_rename(patch, number)
            with pytest.raises(Killed):
                make(root, plain, num=NUM, resume=True)
    make(root, plain, num=NUM, resume=True)
    assert folder_digest(root) == folder_digest(whole)
