"""The benchmark of the feature cache runs, and the committed figures are those of the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "feature_cache_cpu.json"


@pytest.mark.integration
def test_the_benchmark_runs_and_its_sides_agree(tmp_path):
    out = tmp_path / "feature_cache.json"
    words = ["benchmarks/feature_cache.py", "--sizes", "tiny", "--turns", "1", "--out", str(out)]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found, committed = (json.loads(path.read_text())["results"] for path in (out, RESULTS))
    assert found.keys() == committed.keys()
    assert found["real"]["flops_ratio"] == pytest.approx(committed["real"]["flops_ratio"])
    assert found["errors"]["fp32"] == {"loss": 0, "gradient": 0}
    assert found["errors"]["int8"]["gradient"] > found["errors"]["fp16"]["gradient"] > 0
    assert found["parameters"]["features"] < found["parameters"]["images"]


def test_the_committed_figures_are_those_of_the_page():
    report = json.loads(RESULTS.read_text())
    results = report["results"]
    assert report["settings"]["sizes"] == "medium"
    assert results["errors"]["fp32"] == {"loss": 0, "gradient": 0}
    assert results["time_ratio"] >= 1.25
    page = " ".join((REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8").split())
    two, five = (results["real"]["flops_ratio"][images] for images in ("2", "5"))
    assert f"a step from the cache is {results['time_ratio']:.2f} times as fast" in page
    assert f"{two:.2f} times fewer FLOPs at two images a sample and {five:.2f} at five" in page
    for precision in ("fp16", "bf16", "int8"):
        errors = results["errors"][precision]
        assert f"| {precision} | {errors['loss']:.1e} | {errors['gradient']:.1e} |" in page
