"""MmLINK on its embedded backends, as a user makes it: the command, kills, validation, and training on what it made."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.synthesis import folder_digest
from lavis_sam.synthesis.configuration import packaged_configs
from lavis_sam.synthesis.dataset_writer import read_lines
from lavis_sam.synthesis.quality import mentions

REPOSITORY = Path(__file__).resolve().parents[2]
LAVIS_SAM = Path(sys.executable).parent / "lavis-sam"
# Every start of a process costs seconds of imports on a loaded machine.
MINUTES = 60
KILLS = 10

pytestmark = pytest.mark.integration


def environment(home):
    return {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run(folder, *words):
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=20 * MINUTES,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def in_small_parts(folder, **changes):
    """The packaged configuration with parts so small that several workers have something to do."""
    path = folder / "small_parts.yaml"
    path.write_text(yaml.safe_dump({"base": "mmlink", "run": {"part_size": 2, "shard_size": 5}, **changes}))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the set `pairs`, made by one worker."""
    folder = tmp_path_factory.mktemp("mmlink")
    config = in_small_parts(folder)
    run(folder, LAVIS_SAM, "synthesize", "--out", "pairs", "--num", 10, "--seed", 4, "--config", config, "--workers", 1)
    return folder


def test_two_workers_make_the_same_bytes_as_one(made):
    config = in_small_parts(made)
    run(made, LAVIS_SAM, "synthesize", "--out", "again", "--num", 10, "--seed", 4, "--config", config, "--workers", 2)
    assert folder_digest(made / "again") == folder_digest(made / "pairs")
    manifest = json.loads((made / "pairs" / "manifest.json").read_text())
    assert set(manifest["kinds"]) == {"characters", "furniture", "icons", "covers"}
    assert manifest["accepted"] == 10


def test_every_answer_mentions_the_true_attributes(made):
    for sample in read_lines(made / "pairs" / "samples.jsonl"):
        main = sample["objects"][0]
        assert main["told"]
        assert all(mentions(sample["output"], word) for word in main["told"])
        shown = [{obj["object"] for obj in image["objects"]} for image in sample["pictures"]]
        assert set.intersection(*shown) == {0}, "the shared object is in both images, each other one in one only"


def test_the_set_and_its_shards_are_valid(made):
    for what in ("pairs", "pairs/shards"):
        report = json.loads(run(made, LAVIS_SAM, "data", "validate", what, "--strict", "--json"))
        assert "10" in json.dumps(report)


def test_lavis_trains_on_it(made):
    pairs = made / "pairs"
    run(
        made,
        sys.executable,
        "-m",
        "lavis.train",
        "--cfg-path",
        REPOSITORY / "projects/sam/tiny/train.yaml",
        "--options",
        "datasets.mmlink.type=default",
        f"datasets.mmlink.build_info.images.storage={pairs}",
        f"datasets.mmlink.build_info.annotations.train.storage={pairs}/annotations.json",
        f"datasets.mmlink.build_info.annotations.test.storage={pairs}/annotations.json",
        "run.max_epoch=1",
        f"run.output_dir={made}/run",
    )
    (log,) = made.glob("run/*/log.jsonl")
    assert any("loss" in line for line in log.read_text().splitlines())
    (answers,) = made.glob("run/*/result/test/mmlink/pred.json")
    assert len(json.loads(answers.read_text())) == 10


@pytest.mark.parametrize("form", [name for name in packaged_configs() if not name.startswith(("mmlink", "unjudged"))])
def test_the_other_forms_are_made_and_valid(form, tmp_path):
    run(tmp_path, LAVIS_SAM, "synthesize", "--out", form, "--num", 6, "--config", form, "--workers", 1)
    run(tmp_path, LAVIS_SAM, "data", "validate", form, "--strict")
    manifest = json.loads((tmp_path / form / "manifest.json").read_text())
    assert manifest["accepted"] == 6
    assert manifest["tries"] <= 18, "most tries are accepted"
    images = {"groups": 5, "stories": 3, "changes": 2, "captions": 1, "pretraining": 1}[form]
    for sample in read_lines(tmp_path / form / "samples.jsonl"):
        assert len(sample["pictures"]) == images


def test_ten_kills_change_no_byte(tmp_path):
    """The kinds without scenes are quick, so the moments of death fall into every part of a run."""
    config = in_small_parts(tmp_path, kinds={"icons": 1, "covers": 1})
    words = ["--num", "40", "--seed", "5", "--config", str(config), "--workers", "2", "--resume"]
    run(tmp_path, LAVIS_SAM, "synthesize", "--out", "whole", *words)
    whole, moments, kills, tries = folder_digest(tmp_path / "whole"), random.Random(2), 0, 0
    target = tmp_path / "killed 0"
    while kills < KILLS:
        process = subprocess.Popen(
            [str(LAVIS_SAM), "synthesize", "--out", str(target), *words],
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kills += _killed_at_part(process, target, moments.randrange(1, 16))
        if (target / "manifest.json").exists():
            assert folder_digest(target) == whole
            tries += 1
            target = tmp_path / f"killed {tries}"  # and once more from the beginning
    run(tmp_path, LAVIS_SAM, "synthesize", "--out", target, *words)
    assert folder_digest(target) == whole


def _killed_at_part(process, target, files):
    """Kill -9 after so many new files, wherever the run is then; False when it was finished before."""
    before = _count(target)
    while _count(target) < before + files:
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        assert process.returncode == 0
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


def _count(folder):
    return sum(1 for _ in folder.rglob("*")) if folder.is_dir() else 0
