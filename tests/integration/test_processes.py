"""Two gloo processes with the fake model: shares of batches, the empty share, files, one folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).resolve().parents[1]
# 5 samples, 1 a process: the last global batch of an epoch has a sample for rank 0 only.
SCRIPT = """
import sys
from datetime import timedelta
from pathlib import Path

import torch
from helpers.dummies import DummyDataset, DummyModel, dummy_config

from lavis_sam import distributed
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask

batch_size = 2 // int(sys.argv[2])
launch = distributed.Launch.from_environment()
with distributed.process_group(launch, torch.device("cpu"), timedelta(seconds=60)):
    config = dummy_config(
        Path(sys.argv[1]), max_epoch=3, batch_size_train=batch_size, valid_splits=["val"], test_splits=["test"],
        accum_grad_iters=int(sys.argv[3]),
    )
    datasets = {"s": {"train": DummyDataset(5), "val": DummyDataset(1), "test": DummyDataset(5)}}
    runner = RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), datasets)
    runner.train()
    print(f"rank {distributed.rank()} wrote to {runner.output_dir}")
"""

pytestmark = pytest.mark.integration


def run(folder, processes, accumulate):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    output = folder / f"{processes}"
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
    command = [sys.executable, *launcher, str(script), str(output), str(processes), str(accumulate)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (found,) = output.iterdir()
    assert done.stdout.count(f"wrote to {found}") == processes
    return found


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_equal_one(tmp_path, accumulate):
    one, two = run(tmp_path, 1, accumulate), run(tmp_path, 2, accumulate)
    logs = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (one, two)]
    assert len(logs[0]) == len(logs[1])
    logs = [[line for line in log if line["event"] != "finished"] for log in logs]
    for single, double in zip(*logs, strict=True):
        assert single["loss"] == pytest.approx(double["loss"], rel=1e-5)
        assert single["samples"] == double["samples"]
    assert sum(line["samples"] for line in logs[1] if line["event"] == "train") == 3 * 5
    first, second = (torch.load(folder / "checkpoint_best.pth", weights_only=True)["model"] for folder in (one, two))
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], atol=1e-6, rtol=0)
    predictions = [(folder / "result" / "test" / "s" / "pred.json").read_text() for folder in (one, two)]
    assert predictions[0] == predictions[1]
    assert [record["sample_id"] for record in json.loads(predictions[0])] == [f"s{i}" for i in range(5)]
