"""What the released semantics compute more: counted, so the committed numbers can be counted again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "flops_real.json"


def counted(tmp_path, *words):
    out = tmp_path / "flops.json"
    command = [sys.executable, "benchmarks/flops.py", "--out", str(out), *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())["results"]


def test_flops_of_the_tiny_model_differ_after_the_vision_encoder_alone(tmp_path):
    (row,) = counted(tmp_path, "--sizes", "tiny", "--images", "3")
    ours, released = row["visual_path"]["ours"], row["visual_path"]["released"]
    assert ours["vision"] == released["vision"] > 0
    assert ours["after_vision"] < released["after_vision"]
    assert ours["backward"] < released["backward"]
    assert row["training_step_released_over_ours"] > 1


def test_the_committed_flops_say_that_the_vision_encoder_is_nearly_all():
    """At the real sizes the two ways cannot be far from each other, whatever a small model shows."""
    for row in json.loads(RESULTS.read_text())["results"]:
        assert row["visual_path"]["ours"]["vision"] == row["visual_path"]["released"]["vision"]
        assert row["vision_share_of_ours"] > 0.95
        assert 1.01 < row["visual_path_forward_released_over_ours"] < 1.03
        assert 1.02 < row["visual_path_with_backward_released_over_ours"] < 1.05
        assert 1.01 < row["training_step_released_over_ours"] < 1.04


@pytest.mark.integration
def test_the_committed_flops_are_counted_again(tmp_path):
    committed = json.loads(RESULTS.read_text())["results"]
    assert counted(tmp_path, "--images", "2") == [row for row in committed if row["N"] == 2]
