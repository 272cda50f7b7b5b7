"""`lavis-sam plan`: what a run would need."""

import json
from pathlib import Path

from helpers.command_line import TINY, call

REPOSITORY = Path(__file__).resolve().parents[2]


def test_plan():
    made = json.loads(
        call("plan", "--cfg-path", TINY, "--json", "--images", "3", "--options", "run.batch_size_train=2")
    )
    assert made["load"] == made["load"] | {"batch": 2, "images": 3, "eval_batch": 9}
    assert type(made["trainable_parameters"]) is int
    assert made["memory"]["training"] > sum(made["memory"]["weights"].values())
    text = call("plan", "--cfg-path", str(REPOSITORY / "projects" / "sam" / "train.yaml"), "--gpus", "4")
    assert "4332417" in text
    assert "4 GPU(s) x 1 batch(es) x 5 sample(s)" in text
