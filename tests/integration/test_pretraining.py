"""The embedded base from nothing, in short: its data, its training, its folder, and a model that reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lavis_sam.predictor import SamPredictor
from lavis_sam.training.metric_log import read_metric_log

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES, QUESTIONS, EPOCHS, BATCH = 64, 6, 4, 16
# What about 90 steps on 64 images fall below; the first step has 7.3 and about 15.
LANGUAGE_BELOW, WORDS_BELOW = 3.0, 9.0

pytestmark = pytest.mark.integration


def run(folder, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The commands that pretrain.yaml names, with fewer images and steps."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "projects").symlink_to(REPOSITORY / "projects")
    (folder / "tools").symlink_to(REPOSITORY / "tools")
    run(folder, "-m", "lavis_sam.cli", "synthesize", "--config", "pretraining", "--num", str(IMAGES), "--out",
        "data/pretraining", "--workers", "0")  # fmt: skip
    run(folder, "-m", "lavis_sam.cli", "synthesize-questions", "data/pretraining", "--num", str(QUESTIONS))
    run(folder, "-m", "lavis.train", "--cfg-path", "projects/sam/tiny/pretrain.yaml", "--options", "run.job_id=base",
        f"run.max_epoch={EPOCHS}", f"run.batch_size_train={BATCH}",
        "run.warmup_steps=10", "run.num_workers=0")  # fmt: skip
    run(folder, "tools/make_tiny_base.py", "output/sam/tiny_base/base", "made")
    return folder


def test_both_losses_fall(trained):
    events = list(read_metric_log(trained / "output" / "sam" / "tiny_base" / "base" / "log.jsonl"))
    losses = [event["losses"] for event in events if event["event"] == "train"]
    assert losses[0]["language"] > 7
    for name, below in (("language", LANGUAGE_BELOW), ("patch_words", WORDS_BELOW)):
        assert np.mean([step[name] for step in losses[-10:]]) < below, name


def test_the_folder_is_a_base_that_answers(trained):
    held = json.loads((trained / "made" / "config.json").read_text())
    assert held["model_type"] == "instructblip"
    assert not (trained / "made" / "README.md").exists()
    predictor = SamPredictor.from_pretrained("tiny", base=trained / "made", device="cpu")
    image = next((trained / "data" / "pretraining" / "images").rglob("*.jpg"))
    text = predictor.caption(str(image), "What does the image show?", num_beams=1, max_length=24)
    assert len(text.split()) > 2
