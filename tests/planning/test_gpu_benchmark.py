"""The command for a GPU machine: it runs without one on the tiny size, keeps what it has, and stops by itself."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MACHINE = {"device": "Test Card 80GB", "is_gpu": True, "precision": "bf16", "torch": "2", "transformers": "5"}
STEPS = {"ours", "cached", "unguided", "released", "instructblip_video"}


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))


@pytest.fixture
def report(benchmarks, tmp_path):
    from gpu_report import Report

    return Report(tmp_path, MACHINE["device"], {"settings": {}, "machine": MACHINE})


def kept(folder):
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())


@pytest.mark.integration
def test_the_command_runs_without_a_gpu_and_says_that_its_figures_are_open(tmp_path):
    """In a Python that cannot import LAVIS."""
    words = "--size tiny --device cpu --turns 1 --images 2 --batch 2 --answer-tokens 4 --out"
    code = (
        "import runpy, sys; sys.modules['lavis'] = None; del sys.argv[0]; runpy.run_path(sys.argv[0], None, '__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "benchmarks/gpu.py", *words.split(), str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = kept(tmp_path)
    sections = {row["section"] for row in found["results"]}
    assert len(sections) == 5, sections
    for way in ("with", "without"):
        rows = [row for row in found["results"] if row["section"].endswith(f"N = 2, {way} gradient checkpointing")]
        assert {row["step"] for row in rows} == (STEPS if way == "without" else STEPS - {"released"})
        ours = next(row for row in rows if row["step"] == "ours")
        assert 0 < ours["utilisation"] < 1
        assert ours["peak MB beyond weights"] == pytest.approx(ours["planned MB"], rel=0.2)
    weights = [row for row in found["results"] if row["section"] == "Weights by part"]
    assert all(row["MB"] == row["planned MB"] for row in weights)
    texts = [row["same texts"] for row in found["results"] if row["section"].startswith("Evaluation")]
    assert texts == [True, True]
    assert found["missing"].keys() == {"torch.compile"}
    assert found["cost"]["seconds"] > 0
    assert "Figures of a GPU are open" in (tmp_path / "gpu_cpu.md").read_text()


def test_each_section_is_in_both_files_as_soon_as_it_is_measured(report, tmp_path):
    report.add("First", [{"images": 2, "seconds": 0.25}, {"images": 5, "planned MB": None}])
    assert kept(tmp_path)["results"] == [
        {"section": "First", "images": 2, "seconds": 0.25},
        {"section": "First", "images": 5, "planned MB": None},
    ]
    page = (tmp_path / "gpu_test_card_80gb.md").read_text()
    assert "| images | seconds | planned MB |\n| --- | --- | --- |\n| 2 | 0.25 |  |\n| 5 |  |  |" in page
    assert "open" not in page
    report.add("Second", [{"images": 2}])
    assert [row["section"] for row in kept(tmp_path)["results"]] == ["First", "First", "Second"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu_test_card_80gb.json", "gpu_test_card_80gb.md"]


def test_what_does_not_fit_into_memory_is_listed_and_the_rest_goes_on(report, tmp_path):
    import gpu

    def too_much():
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    gpu.attempt(report, "Large", too_much)
    gpu.attempt(report, "Small", lambda: [{"images": 2}])
    assert kept(tmp_path)["missing"] == {"Large": "out of memory on this card"}
    assert [row["section"] for row in kept(tmp_path)["results"]] == ["Small"]
    with pytest.raises(RuntimeError, match="shape"):
        gpu.attempt(report, "Wrong", lambda: (_ for _ in ()).throw(RuntimeError("wrong shape")))


def test_the_command_stops_when_its_time_is_over_and_keeps_what_it_has(benchmarks, monkeypatch, tmp_path, capsys):
    import gpu

    def measure(args, report):
        report.add("First", [{"images": 2}])
        time.sleep(60)

    monkeypatch.setattr(gpu, "measure", measure)
    gpu.main(["--size", "tiny", "--device", "cpu", "--seconds", "0.2", "--out", str(tmp_path)])
    found = kept(tmp_path)
    assert [row["section"] for row in found["results"]] == ["First"]
    assert found["missing"]["what would have followed"] == "the 0.2 s of --seconds are over"
    assert found["cost"]["seconds"] < 30
    assert "Not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "remedy"), [([], "--size tiny --device cpu"), (["--device", "cpu"], "take --size tiny")]
)
def test_a_machine_without_a_gpu_is_refused_at_the_real_sizes(benchmarks, monkeypatch, capsys, words, remedy):
    import gpu

    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.read_arguments(words)
    assert remedy in capsys.readouterr().err
