"""Folders of runs that version 0.1.0 wrote: they are read, evaluated and continued, and nothing in them is lost."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lavis_sam import train

# Version 0.1.0 had no trained base for the tiny model.
RANDOM_BASE = "model.pretrained="
CONTINUE = [RANDOM_BASE, "run.resume=auto", "run.checkpoint_steps=2", "run.batch_size_train=3", "run.max_epoch=2"]
SECONDS = 600
# The softmax over images does not depend on its bias: that gradient is noise, which AdamW blows up on another machine.
NOISE = "adaptive_adjustment.linear_a.bias"


def leaves(node, above=""):
    """(dotted key, value) of everything that is not a mapping."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def losses(found):
    """Step -> its loss; a step that was made twice, before the kill and again, had the same loss twice."""
    values = {}
    for event in found:
        assert values.setdefault(event["step"], event["loss"]) == pytest.approx(event["loss"], rel=1e-5)
    return values


def command(folder, module, *words):
    """Run `python -m module`, as a user does."""
    words = [sys.executable, "-m", module, *words]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


def check_continued(folder, events):
    """The run in a folder is the one that version 0.1.0 made of it, in losses, parameters and validation."""
    old = folder.parent / "run_interrupted_expected"
    (resumed,) = events(folder, "resumed")
    assert resumed["step"] == 8
    assert losses(events(folder, "train")) == pytest.approx(losses(events(old, "train")), rel=1e-5)
    assert [event["step"] for event in events(folder, "train")] == [*range(10), 8, 9, 10, 11]
    for kind in ("epoch", "evaluation"):
        found, wanted = events(folder, kind), events(old, kind)
        assert [event["loss"] for event in found] == pytest.approx([event["loss"] for event in wanted], rel=1e-5)
        assert [event["samples"] for event in found] == [event["samples"] for event in wanted]
    assert len(events(folder, "finished")) == 1
    content = torch.load(folder / "checkpoint_1.pth", weights_only=True)
    wanted = load_file(old / "trained.safetensors")
    assert set(content["model"]) == set(wanted)
    for name, tensor in wanted.items():
        assert torch.allclose(content["model"][name], tensor, rtol=1e-5, atol=1e-2 if name == NOISE else 1e-7), name
    assert content["progress"]["step"] == 12
    assert content["progress"]["best_epoch"] == 1
    return content


def test_an_interrupted_run_continues_to_the_same_losses_and_parameters(bring, events):
    folder = bring("train.yaml", "photographs.json", "run_interrupted", "run_interrupted_expected") / "run_interrupted"
    before = (folder / "log.jsonl").read_bytes()
    checkpoint = torch.load(folder / "checkpoint_1_step8.pth", weights_only=True)
    assert train.main(["--cfg-path", "train.yaml", "--options", "run.job_id=run_interrupted", *CONTINUE]) == 0
    content = check_continued(folder, events)
    assert (folder / "log.jsonl").read_bytes().startswith(before)
    # Whoever reads checkpoints by these names still finds them.
    assert set(checkpoint) <= set(content)
    assert set(checkpoint["progress"]) <= set(content["progress"])
    answers, wanted = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / "result/test/mmlink/pred.json", folder.parent / "run_interrupted_expected/pred.json")
    )
    assert [(one["sample_id"], one["gt_response"]) for one in answers] == [
        (one["sample_id"], one["gt_response"]) for one in wanted
    ]


@pytest.mark.integration
def test_the_command_finds_the_interrupted_run_beside_a_finished_one(bring, events):
    """Without a job_id, `run.resume=auto` takes the newest run that did not finish."""
    root = bring("train.yaml", "photographs.json", "run_finished", "run_interrupted", "run_interrupted_expected")
    for path in (root / "run_finished").glob("*.pth"):
        os.utime(path)  # the finished one is the newest
    command(root, "lavis.train", "--cfg-path", "train.yaml", "--options", *CONTINUE)
    check_continued(root / "run_interrupted", events)
    assert len(list(root.glob("*/log.jsonl"))) == 3


def test_it_does_not_continue_over_another_base(bring, capsys):
    bring("train.yaml", "photographs.json", "run_interrupted")
    assert train.main(["--cfg-path", "train.yaml", "--options", "run.job_id=run_interrupted", *CONTINUE[1:]]) == 2
    assert 'model.pretrained: then "", now "package:' in capsys.readouterr().err


def test_a_damaged_checkpoint_of_it_is_refused(bring, capsys):
    folder = bring("train.yaml", "photographs.json", "run_interrupted") / "run_interrupted"
    path = folder / "checkpoint_1_step8.pth"
    path.write_bytes(path.read_bytes()[:400_000])
    assert train.main(["--cfg-path", "train.yaml", "--options", "run.job_id=run_interrupted", *CONTINUE]) == 2
    assert "checkpoint_1_step8.pth" in capsys.readouterr().err


def test_the_resolved_configuration_of_a_run_is_understood(bring, run):
    """Every key of the old config.yaml is still a key, and has the value that it had."""
    folder = bring("run_finished/config.yaml") / "run_finished"
    code, text, error = run("config", "--cfg-path", "run_finished/config.yaml", "--json")
    assert code == 0, error
    found = {key: entry["value"] for key, entry in json.loads(text).items()}
    wanted = dict(leaves(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))))
    assert len(wanted) > 80
    assert {key: found.get(key) for key in wanted} == wanted


def test_the_answers_of_a_run_have_the_scores_that_stand_beside_them(bring, run):
    root = bring("run_finished/result")
    found = sorted(root.glob("run_finished/result/*/mmlink"))
    assert [path.parent.name for path in found] == ["test", "val_epoch0", "val_epoch1", "val_epoch2"]
    for folder in found:
        code, text, error = run("score", folder / "pred.json", "--json")
        assert code == 0, error
        scores = json.loads((folder / "eval.json").read_text(encoding="utf-8"))
        assert {name: round(value, 2) for name, value in json.loads(text)["corpus"].items()} == scores
        code, text, error = run("table", folder.parent, "--json")
        assert code == 0, error
        (table,) = json.loads(text)["tables"]
        (row,) = table["rows"]
        assert {name: round(value, 2) for name, value in row["values"]["mmlink"].items()} == scores


def test_the_curves_of_old_runs_are_drawn(bring, run):
    root = bring("run_finished/log.jsonl", "run_interrupted/log.jsonl")
    code, _, error = run("plot", "run_finished", "run_interrupted", "--out", "curves.png")
    assert code == 0, error
    assert (root / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.integration
def test_the_best_checkpoint_answers_as_it_did_under_its_own_configuration(bring, events):
    root = bring("run_finished", "photographs.json")
    words = ["--cfg-path", "run_finished/config.yaml", "--ckpt", "run_finished/checkpoint_best.pth"]
    command(root, "lavis.evaluate", *words, "--options", "run.job_id=again")
    files = [root / name / "result" / "test" / "mmlink" / "pred.json" for name in ("run_finished", "again")]
    assert json.loads(files[0].read_text("utf-8")) == json.loads(files[1].read_text("utf-8"))
    (found,) = events(root / "again", "evaluation")
    wanted = events(root / "run_finished", "evaluation")[-1]
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert (found["samples"], found["dataset"]) == (6, "mmlink")
