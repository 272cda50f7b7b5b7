"""The benchmark of run.compile runs, and the shares that it counts are those of the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_quotes_the_committed_result():
    found = json.loads((REPOSITORY / "benchmarks" / "results" / "compile_cpu.json").read_text())["results"]
    page = " ".join((REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8").split())
    step, visual = found["step"]["time_ratios"], found["visual_path"]["time_ratio"]
    assert f"a step is {found['step']['time_ratio']:.2f} times as fast ({min(step):.2f} to {max(step):.2f})" in page
    assert f"its visual path {visual:.2f} times" in page
    assert "take {compiled:.0f} CPU seconds in place of {plain:.0f}".format(**found["first_passes_seconds"]) in page


@pytest.mark.integration
def test_the_benchmark_runs_and_its_sides_agree(tmp_path):
    out = tmp_path / "compile.json"
    words = ["benchmarks/compile.py", "--sizes", "tiny", "--backend", "eager", "--turns", "1", "--out", str(out)]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["results"]
    assert found["compiled_layers"] == {"vision": 2, "q_former": 4, "language": 2}
    assert found["largest_difference"]["gradient"] < 1e-3
    assert found["step"]["time_ratio"] > 0
    assert found["visual_path"]["time_ratio"] > 0
    page = " ".join((REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8").split())
    layers, visual = (found["shares"]["real"][name] for name in ("compiled_layers", "visual_path"))
    assert f"Compiled layers have {layers:.1%} of a step's FLOPs".replace("%", " %") in page
    assert f"the visual path {visual:.0%} (".replace("%", " %") in page
