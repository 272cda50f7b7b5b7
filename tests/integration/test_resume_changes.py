"""`python -m lavis.train` on the embedded default, continued by others: more processes, another model, other data."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = REPOSITORY / "lavis_sam" / "assets" / "photographs" / "annotations.json"
SECONDS = 600
# `python -m lavis.train`, with a note of every sample that a process trained on.
RECORDER = """
import json, os, runpy
import lavis
from lavis_sam.training.training_data import MapBatches

file, next_batch = open(f"{os.environ['RECORD']}.{os.environ.get('RANK', 0)}", "a"), MapBatches.next_batch

def recording(self):
    batch = next_batch(self)
    if batch.counts:
        file.write(json.dumps([self.epoch, batch.samples["sample_id"]]) + "\\n")
        file.flush()
    return batch

MapBatches.next_batch = recording
runpy.run_module("lavis.train", run_name="__main__", alter_sys=True)
"""

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of two epochs of six steps, with a checkpoint of each step."""
    folder = tmp_path_factory.mktemp("resume_changes")
    (folder / "projects").symlink_to(REPOSITORY / "projects")
    (folder / "recorder.py").write_text(RECORDER)
    done, _ = train(folder, "whole", "run.batch_size_train=3")
    assert done.returncode == 0, done.stderr
    return folder


def train(folder, name, *options, processes=1):
    """(the finished process, sample ids by epoch with how often)."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    words = ["run.output_dir=runs", "run.max_epoch=2", "run.test_splits=[]", "run.checkpoint_steps=1"]
    words += ["run.keep_checkpoints=50", f"run.job_id={name}", *options]
    command = [sys.executable, *launcher, "recorder.py", "--cfg-path", "projects/sam/tiny/train.yaml"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, "--options", *words], cwd=folder, env=environment | {"RECORD": str(folder / name)},
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    epochs = {}
    for path in folder.glob(f"{name}.[0-9]"):
        for epoch, names in map(json.loads, path.read_text().splitlines()):
            epochs.setdefault(epoch, Counter()).update(names)
    return done, epochs


def test_two_processes_continue_what_one_began_at_its_sample(folder):
    """Two steps of 3 samples by one process, then steps of 2 x 3: 6 of 18 samples by the one, 12 by the two."""
    recorded = [json.loads(line) for line in (folder / "whole.0").read_text().splitlines()]
    begun = Counter(name for epoch, names in recorded[:2] for name in names)
    done, epochs = train(
        folder, "two", "run.batch_size_train=3", "run.resume=runs/whole/checkpoint_0_step2.pth", processes=2
    )
    assert done.returncode == 0, done.stderr
    everyone = Counter(record["id"] for record in json.loads(PHOTOGRAPHS.read_text(encoding="utf-8")))
    assert len(everyone) == 18
    assert begun + epochs[0] == everyone == epochs[1]
    assert "processes: then 1, now 2" in done.stderr
    log = [json.loads(line) for line in (folder / "runs" / "two" / "log.jsonl").read_text().splitlines()]
    steps = [line for line in log if line["event"] == "train"]
    assert [(line["step"], line["samples"]) for line in steps] == [(step, 6) for step in range(2, 7)]
    assert steps[-1]["lr"] == 0


@pytest.mark.parametrize(
    ("name", "option", "words"),
    [
        ("checkpoint_1.pth", "model.guidance.context=others", 'model.guidance.context: then "all", now "others"'),
        ("checkpoint_0_step2.pth", "data", "training data: other ids, texts or image names"),
        ("checkpoint_0.pth", "data", "training data: other ids, texts or image names"),
    ],
)
def test_another_run_is_refused(folder, name, option, words):
    if option == "data":
        records = json.loads(PHOTOGRAPHS.read_text(encoding="utf-8"))
        records[4]["output"] = "Something else."
        (folder / "changed.json").write_text(json.dumps(records), encoding="utf-8")
        option = "datasets.mmlink.build_info.annotations.train.storage=changed.json"
    done, epochs = train(folder, "refused", "run.batch_size_train=3", f"run.resume=runs/whole/{name}", option)
    assert done.returncode == 2
    assert words in done.stderr
    assert "run.resume_with_changes=true" in done.stderr
    assert "Traceback" not in done.stderr
    assert epochs == {}
