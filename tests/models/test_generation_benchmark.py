"""The benchmark of the search runs, and the committed figures are its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "generation_cpu.json"


@pytest.mark.integration
def test_the_benchmark_runs_and_its_ways_agree(tmp_path):
    out = tmp_path / "generation.json"
    words = ["benchmarks/generation.py", "--sizes", "tiny", "--turns", "1", "--batch", "3", "--out", str(out)]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found, committed = (
        json.loads(out.read_text())["results"]["tiny"],
        json.loads(RESULTS.read_text())["results"]["tiny"],
    )
    assert found.keys() == committed.keys()
    assert found["same_texts"]
    assert found["moved_ratio"] > 2  # counted, not timed
    # Five beams copy at least the shortest prompt, two images of 32 tokens, at each token.
    assert found["positions_moved_per_token"]["rows"] > 5 * 2 * 32


def test_the_committed_figures_are_those_of_the_page():
    results = json.loads(RESULTS.read_text())["results"]
    page = (REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8")
    for name, found in results.items():
        moved = found["positions_moved_per_token"]
        row = f"| {name} | {moved['rows']:.0f} | {moved['shared']:.1f} | {found['time_ratio']:.2f} |"
        assert row in page
