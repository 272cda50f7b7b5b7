"""benchmarks/data_loading.py: that it runs, and that its stored result is one of the full size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SIDES = {"plain", "files", "shards"}


def check(report):
    """What every report says: three sides and four ratios for each number of workers."""
    assert [row["workers"] for row in report["results"]] == report["settings"]["workers"] == [0, 2]
    for row in report["results"]:
        assert row["samples_per_second"].keys() == row["processor_ms_per_sample"].keys() == SIDES
        for side in ("files", "shards"):
            for ratio in (row[f"{side}_over_plain"], row[f"{side}_over_plain_processor"]):
                assert 0 < ratio["smallest"] <= ratio["median"] <= ratio["largest"]


@pytest.mark.integration
def test_the_benchmark_runs_and_its_sides_agree(tmp_path):
    """It compares the tensors of all sides itself, and counts the samples of each epoch."""
    size = ["--samples", "6", "--images", "3", "--width", "64", "--height", "48", "--batch-size", "4", "--turns", "1"]
    out = tmp_path / "data_loading.json"
    command = [sys.executable, "benchmarks/data_loading.py", *size, "--out", str(out)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=300)
    report = json.loads(out.read_text())
    check(report)
    assert report["settings"]["images"] == 3


def test_the_stored_result_is_of_the_full_size():
    report = json.loads((REPOSITORY / "benchmarks" / "results" / "data_loading_cpu.json").read_text())
    check(report)
    assert report["settings"]["samples"] == 400
    assert report["machine"]["processor"]
