"""The benchmark of packing runs, its sides agree, and the committed figures are those of the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
RESULTS = REPOSITORY / "benchmarks" / "results" / "packing_cpu.json"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import packing

    return packing


@pytest.mark.integration
def test_the_benchmark_runs_and_counts_what_is_committed(tmp_path):
    out = tmp_path / "packing.json"
    words = ["benchmarks/packing.py", "--sizes", "tiny", "--turns", "1", "--out", str(out)]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found, committed = (json.loads(path.read_text())["results"] for path in (out, RESULTS))
    assert found.keys() == committed.keys()
    for name, row in found.items():
        assert row["real"] == committed[name]["real"]
        assert max(row["differences"].values()) < 1e-5
        assert row["positions"]["packed"] <= row["positions"]["padded"]


def test_both_sides_get_the_layout_of_training(benchmark):
    samples = [benchmark.Sample(2, 3, 4), benchmark.Sample(1, 5, 6)]
    inputs = benchmark.make_inputs(samples, 8)
    assert inputs.attention_mask.shape == (2, benchmark.padded_length(samples)) == (2, 2 * 32 + 11)
    assert inputs.attention_mask.sum(dim=1).tolist() == [sample.length for sample in samples] == [71, 43]
    assert (inputs.labels >= 0).sum(dim=1).tolist() == [4, 6]
    assert not (inputs.labels[inputs.attention_mask == 0] >= 0).any()


def test_sides_that_differ_are_not_measured(benchmark, monkeypatch):
    plain = benchmark.target_loss

    def off(llm_model, inputs, *, packing):
        result = plain(llm_model, inputs, packing=packing)
        result.per_sample_loss = result.per_sample_loss * (1.001 if packing else 1)
        return result

    llm_model = benchmark.build_language_model(benchmark.SIZES["tiny"]).eval().requires_grad_(False)
    inputs = benchmark.make_inputs([benchmark.Sample(2, 3, 4), benchmark.Sample(1, 5, 6)], 64)
    assert max(benchmark.check_agreement(llm_model, inputs).values()) < 1e-5
    monkeypatch.setattr(benchmark, "target_loss", off)
    with pytest.raises(SystemExit, match="the two sides differ"):
        benchmark.check_agreement(llm_model, inputs)


def test_the_committed_figures_are_those_of_the_page():
    report = json.loads(RESULTS.read_text())
    assert report["settings"]["sizes"] == "medium"
    assert min(report["machine"]["load_average"]) > report["machine"]["cores"], "the page says that others kept it busy"
    shares = []
    for name, row in report["results"].items():
        assert max(row["differences"].values()) < 1e-5
        shuffled, bucketed = (row["real"][order] for order in ("shuffled", "bucketed"))
        shares.append(shuffled["language_share"])
        ratios = (row["time_ratio"], shuffled["layers_flops_ratio"], shuffled["step_flops_ratio"])
        figures = [f"{ratio:.2f}" for ratio in (*ratios, bucketed["step_flops_ratio"])]
        assert " | ".join([f"| {name}", f"{shuffled['padding']:.0%}".replace("%", " %"), *figures]) in page()
    assert f"{100 * min(shares):.0f} to {max(shares):.0%}".replace("%", " %") in page()


def page():
    return " ".join((REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8").split())
