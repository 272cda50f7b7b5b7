"""A sweep through real runs: killed again and again it gives the table of one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from helpers.command_line import REPOSITORY

pytestmark = pytest.mark.integration

SWEEP = """
config: {train}
seeds: [0, 1]
options: {{run.max_epoch: 2, run.batch_size_eval: 9, run.checkpoint_steps: 1, run.log_freq: 1}}
rows:
  base: {{train: false, options: {{model.guidance.extractor: none}}}}
  vpg_c: {{title: VPG-C, options: {{model.trainable: vpg_c, model.guidance.extractor: none}}}}
compare: [[base, vpg_c]]
"""
KILLS = 5


def start(file, out):
    command = [sys.executable, "-m", "lavis_sam.cli", "sweep", str(file), "--out", str(out)]
    # A group of its own, so that a kill takes the runs with it.
    return subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL)


def logged(out):
    return sum(len(path.read_bytes().splitlines()) for path in out.glob("*/*/log.jsonl"))


def table(out):
    subprocess.run([sys.executable, "-m", "lavis_sam.cli", "report", str(out)], check=True, cwd=REPOSITORY)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {key: report[key] for key in ("sets", "comparisons", "cases", "curves")}


def test_a_sweep_killed_five_times_gives_the_same_table(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.format(train=REPOSITORY / "projects/sam/tiny/train.yaml"), encoding="utf-8")
    assert start(file, tmp_path / "alone").wait() == 0
    whole = logged(tmp_path / "alone")
    draw, out = random.Random(5), tmp_path / "killed"
    for kill in range(KILLS):
        process = start(file, out)
        at = draw.randint(logged(out) + 1, max(logged(out) + 1, whole * (kill + 1) // (KILLS + 1)))
        while logged(out) < at and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(file, out).wait() == 0
    assert table(out) == table(tmp_path / "alone")
    assert not list(out.rglob("*.tmp"))
    # What is finished is not made again.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.suffix == ".pth"}
    assert start(file, out).wait() == 0
    assert before
    assert {path: path.stat().st_mtime_ns for path in before} == before
