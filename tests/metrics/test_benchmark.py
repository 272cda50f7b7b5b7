import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_benchmark_runs_and_its_two_sides_agree(tmp_path):
    command = [
        sys.executable,
        "benchmarks/metrics.py",
        "--pairs",
        "300",
        "--turns",
        "1",
        "--out",
        str(tmp_path / "r.json"),
    ]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["pairs"] == 300
    assert report["largest_difference"] < 1e-9
    assert report["libraries_over_ours"]["median"] > 0
    assert 20 < report["corpus"]["rouge"] < 90  # neither trivial nor hopeless pairs


def test_the_stored_result_is_of_the_full_size():
    report = json.loads((REPOSITORY / "benchmarks" / "results" / "metrics_cpu.json").read_text())
    assert report["pairs"] == 50_000
    assert report["largest_difference"] < 1e-9
    assert report["machine"]["processor"]
