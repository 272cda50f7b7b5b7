"""The paper's recipe, on the tiny model: what is lost when it is killed, and what the same command does then."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lavis_sam.training.metric_log import read_metric_log
from lavis_sam.weights.packaged import PACKAGE

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
SAMPLES, CHECKPOINT_STEPS, SECONDS = 230, 200, 600
SMALL = (
    "model.model_type=tiny", "model.precision=fp32", "datasets.mmlink.vis_processor.train.image_size=112",
    "run.batch_size_train=1", "run.num_workers=0",
)  # fmt: skip

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path):
    """A working directory with the repository's projects, and data where the recipe looks for them."""
    (tmp_path / "projects").symlink_to(REPOSITORY / "projects")
    shutil.copytree(PHOTOGRAPHS, tmp_path / "data" / "mmlink")
    records = json.loads((PHOTOGRAPHS / "annotations.json").read_text())
    more = [records[number % len(records)] | {"id": f"sample-{number}"} for number in range(SAMPLES)]
    (tmp_path / "data" / "mmlink" / "annotations.json").write_text(json.dumps(more))
    return tmp_path


def start(folder):
    words = ("-m", "lavis.train", "--cfg-path", "projects/sam/train.yaml", "--options", *SMALL)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (folder / "error.txt").open("w") as error:
        return subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, stderr=error)


def steps(folder):
    return [event["step"] for event in read_metric_log(folder / "log.jsonl") if event["event"] == "train"]


def test_the_recipe_continues_by_itself_when_it_was_killed(folder):
    running = start(folder)
    deadline = time.monotonic() + SECONDS
    while not list(folder.glob("output/sam/mmlink/*/checkpoint_*.pth")):
        assert running.poll() is None, (folder / "error.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    (run,) = folder.glob("output/sam/mmlink/*")
    assert CHECKPOINT_STEPS <= len(steps(run)) < SAMPLES

    assert start(folder).wait(SECONDS) == 0, (folder / "error.txt").read_text()
    assert list(folder.glob("output/sam/mmlink/*")) == [run]
    (resumed,) = (event for event in read_metric_log(run / "log.jsonl") if event["event"] == "resumed")
    assert resumed["step"] == CHECKPOINT_STEPS
    assert set(steps(run)) == set(range(SAMPLES))
