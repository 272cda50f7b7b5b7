"""Sharded runs on two processes: the numbers of DDP, and checkpoints that one process and two continue from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.documentation import blocks
from helpers.environments import REPOSITORY
from helpers.sharded import RUNS, RunDiedError, start

TESTS = Path(__file__).resolve().parents[1]
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
SCRIPT = """
import contextlib
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import torch
from helpers.sharded import RUNS, RunDiedError, start

from lavis_sam import distributed

folder = Path(sys.argv[1])
with distributed.process_group(distributed.Launch.from_environment(), torch.device("cpu"), timedelta(seconds=200)):
    for name in RUNS:
        start(folder / f"{name}-ddp", name)
        start(folder / f"{name}-fsdp2", name, sharding="fsdp2")
    start(folder / "from-one-to-two", "language", sharding="fsdp2")
    with contextlib.suppress(RunDiedError):
        start(folder / "from-two-to-one", "language", dies_at=5, checkpoint_steps=1, sharding="fsdp2")
    if distributed.is_main_process():
        for name in ("from-two-to-two", "from-sharded-to-ddp"):
            shutil.copytree(folder / "from-two-to-one", folder / name)
    distributed.barrier()
    start(folder / "from-two-to-two", "language", sharding="fsdp2")
    start(folder / "from-sharded-to-ddp", "language")
"""

pytestmark = pytest.mark.integration


def environment():
    return {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs: each of `RUNS` on two processes, with DDP and sharded, and those that were killed."""
    folder = tmp_path_factory.mktemp("runs")
    start(folder / "one", "language")
    with pytest.raises(RunDiedError):
        start(folder / "from-one-to-two", "language", dies_at=5, checkpoint_steps=1)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, *LAUNCHER, str(script), str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-5000:]
    start(folder / "from-two-to-one", "language")
    return folder


def log(folder, event):
    """The last line of each step or evaluation: steps after a checkpoint that a killed run did are done again."""
    lines = map(json.loads, (folder / "run" / "log.jsonl").read_text().splitlines())
    return {(line.get("step"), line.get("epoch")): line for line in lines if line["event"] == event}


def checkpoint(folder):
    return torch.load(folder / "run" / "checkpoint_1.pth", weights_only=True)


def check_equal(found, wanted, *, rtol, atol=0.0):
    """Losses, norms, scores, weights and moments of two runs."""
    for event, keys in {"train": ("loss", "grad_norm"), "evaluation": ("loss", "rouge")}.items():
        lines, others = log(found, event), log(wanted, event)
        assert lines.keys() == others.keys()
        for key in keys:
            values = [[line[key] for line in side.values()] for side in (lines, others)]
            # Where a step was skipped, the log has null.
            assert [value is None for value in values[0]] == [value is None for value in values[1]]
            assert [value or 0.0 for value in values[0]] == pytest.approx(
                [value or 0.0 for value in values[1]], rel=rtol
            )
    one, other = checkpoint(found), checkpoint(wanted)
    torch.testing.assert_close(one["model"], other["model"], rtol=rtol, atol=atol)
    assert one["optimizer"]["state"].keys() == other["optimizer"]["state"].keys()
    for name, moments in one["optimizer"]["state"].items():
        for key, moment in moments.items():
            torch.testing.assert_close(moment, other["optimizer"]["state"][name][key], rtol=rtol * 10, atol=atol)
    assert one["fingerprints"] == other["fingerprints"]
    assert one["pad_rows"].keys() == other["pad_rows"].keys()


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_sharded_compute_what_ddp_does(runs, name):
    found, wanted = runs / f"{name}-fsdp2", runs / f"{name}-ddp"
    check_equal(found, wanted, rtol=1e-6, atol=5e-5)
    # Norms and accumulated gradients are summed in another order; where nothing follows from that, weights are equal.
    if not {"max_grad_norm", "accum_grad_iters"} & RUNS[name][2].keys():
        torch.testing.assert_close(checkpoint(found)["model"], checkpoint(wanted)["model"], rtol=0, atol=0)
    assert len(log(found, "skipped")) == len(log(wanted, "skipped"))


def test_a_sharded_step_that_is_not_finite_is_skipped_whole(runs):
    # Sample 1 of the 5 spoils one of two steps in each of two epochs.
    norms = [line["grad_norm"] for line in log(runs / "base-fsdp2", "train").values()]
    assert len(norms) == 4
    assert norms.count(None) == 2


def test_answers_of_a_sharded_run_are_those_of_ddp(runs):
    for name in ("language", "lora", "base"):
        found, wanted = (runs / f"{name}-{kind}" / "run/result/val/s/pred.json" for kind in ("fsdp2", "ddp"))
        answers = [[record["pred_response"] for record in json.loads(path.read_text())] for path in (found, wanted)]
        assert answers[0] == answers[1]
        assert len(answers[0]) == 3


def test_two_processes_continue_sharded_bit_by_bit(runs):
    found, wanted = (checkpoint(runs / name) for name in ("from-two-to-two", "language-fsdp2"))
    assert [line["loss"] for line in log(runs / "from-two-to-two", "train").values()] == [
        line["loss"] for line in log(runs / "language-fsdp2", "train").values()
    ]
    torch.testing.assert_close(found["model"], wanted["model"], rtol=0, atol=0)


def test_two_processes_continue_a_sharded_run_with_ddp(runs):
    found = runs / "from-sharded-to-ddp"
    assert [line["step"] for line in log(found, "resumed").values()] == [4]
    assert "sharding" not in checkpoint(found)["config"]["run"]
    check_equal(found, runs / "language-ddp", rtol=1e-6, atol=5e-5)


@pytest.mark.parametrize("way", ["from-one-to-two", "from-two-to-one"])
def test_a_killed_run_continues_on_another_number_of_processes(runs, way):
    assert len(log(runs / way, "resumed")) == 1
    check_equal(runs / way, runs / "one", rtol=1e-5, atol=5e-5)


def test_the_command_of_the_page_runs(tmp_path):
    (block,) = (block for block in blocks("docs/training.md") if block.marker == "sharding")
    (line,) = block.lines
    words = line.removeprefix("torchrun --nproc_per_node=2 ").split()
    options = ["run.max_epoch=1", f"run.output_dir={tmp_path}", "run.job_id=run", "run.batch_size_train=9"]
    options.append("run.decoding.max_length=4")
    command = [sys.executable, *LAUNCHER, *words, *options]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]
    assert len(json.loads((tmp_path / "run/result/test/mmlink/pred.json").read_text())) > 0
    saved = torch.load(tmp_path / "run/checkpoint_0.pth", weights_only=True)
    assert saved["config"]["run"]["sharding"] == "fsdp2"
    assert any(name.startswith("llm_model.") for name in saved["model"])
