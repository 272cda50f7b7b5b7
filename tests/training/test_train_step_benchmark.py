"""The benchmark of a training step runs, and the committed figures are its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "train_step_cpu.json"


@pytest.mark.integration
def test_the_benchmark_runs_and_its_sides_agree(tmp_path):
    out = tmp_path / "train_step.json"
    words = ["benchmarks/train_step.py", "--turns", "1", "--batch", "2", "--instructblip-video", "--out", str(out)]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found, committed = json.loads(out.read_text())["results"], json.loads(RESULTS.read_text())["results"]
    assert found.keys() == committed.keys()
    assert found["loss"]["ours"] == pytest.approx(found["loss"]["released"], rel=1e-4)
    assert found["time_ratio_over_ours"].keys() == {"ours", "released", "instructblip_video"}


def test_the_committed_figures_say_that_ours_is_faster_and_smaller():
    results = json.loads(RESULTS.read_text())["results"]
    assert results["time_ratio_over_ours"]["released"] > 1.5
    assert results["memory_ratio_over_ours"]["released"] > 2
