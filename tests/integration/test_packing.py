"""`model.packing` in training by two processes and with accumulation: losses and gradients are those of padded runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.packed import start

TESTS = Path(__file__).resolve().parents[1]
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
RUNS = {"ddp": {}, "fsdp2": {"trainable": "language", "sharding": "fsdp2"}}
SCRIPT = """
import sys
from datetime import timedelta
from pathlib import Path

import torch
from helpers.packed import start

from lavis_sam import distributed

folder, runs = Path(sys.argv[1]), {runs}
with distributed.process_group(distributed.Launch.from_environment(), torch.device("cpu"), timedelta(seconds=120)):
    for name, settings in runs.items():
        for packing in (False, True):
            way = folder / (name + ("-packed" if packing else "-padded"))
            found = start(way, packing=packing, **settings)
            torch.save(found, way / f"{{distributed.rank()}}.pt")
"""

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs of two processes."""
    folder = tmp_path_factory.mktemp("runs")
    script = folder / "script.py"
    script.write_text(SCRIPT.format(runs=RUNS))
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
    command = [sys.executable, *LAUNCHER, str(script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def losses(folder):
    lines = map(json.loads, (folder / "run" / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["samples"], line["loss"]) for line in lines if line["event"] == "train"]


def check_equal(packed, padded):
    """Gradients of every step."""
    assert len(packed) == len(padded) == 2  # of two batches accumulated, and of the last one
    for found, wanted in zip(packed, padded, strict=True):
        assert found.keys() == wanted.keys()
        assert any(gradient.abs().max() > 1e-4 for gradient in wanted.values())
        one, other = (torch.cat([gradient.flatten() for gradient in each.values()]) for each in (found, wanted))
        assert (one - other).norm() < 1e-5 * other.norm()


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_have_the_losses_and_gradients_of_padded_ones(runs, name):
    folders = [runs / f"{name}-{way}" for way in ("packed", "padded")]
    for found, wanted in zip(*map(losses, folders), strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)
    for rank in range(2):
        (packed, read), (padded, read_padded) = (torch.load(folder / f"{rank}.pt") for folder in folders)
        check_equal(packed, padded)
        assert 0 < read < read_padded


def test_two_processes_have_the_gradients_of_one(runs, tmp_path):
    """Each process's rows hold its own samples; the accumulated mean over all of them is one process's."""
    two, _ = torch.load(runs / "ddp-packed" / "0.pt")
    one, read = start(tmp_path, packing=True)
    check_equal(one, two)
    check_equal(one, start(tmp_path / "padded", packing=False)[0])
    assert read > 0
