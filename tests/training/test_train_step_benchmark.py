"""The benchmark of a training step runs, and the committed figures are its own."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
    assert 1.1 < results["time_ratio_over_ours"]["released"] < 1.5
    assert 1.2 < results["memory_ratio_over_ours"]["released"] < 1.4
    page = " ".join((REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8").split())
    time, memory = (results[f"{kind}_ratio_over_ours"]["released"] for kind in ("time", "memory"))
    assert f"the released way takes {time:.2f} times the time and {memory:.2f} times the activations' memory" in page


def test_the_released_side_does_no_more_than_its_original(monkeypatch):
    """The authors freeze ViT, Q-Former and queries, give images no gradient, and make a batch's tokens once."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import train_step

    arguments = argparse.Namespace(sizes="tiny", precision="fp32", gradient_checkpointing=False, device="cpu")
    model = train_step.build(arguments, train_step.model_cfg(arguments))
    seen, tokenised, tokenizer = [], [], model.tokenizer
    model.ln_vision.register_forward_hook(lambda module, given, output: seen.append(output.requires_grad))
    monkeypatch.setattr(model, "tokenizer", lambda *words, **kind: tokenised.append(1) or tokenizer(*words, **kind))
    size = model.visual_encoder.image_size
    samples = {"image": torch.rand(1, 3, 3, size, size), "text_input": ["What?"], "text_output": ["A cat."]}
    train_step.released(model, samples).backward()
    assert seen == [False] * 3
    assert len(tokenised) == 1
    assert not samples["image"].requires_grad
