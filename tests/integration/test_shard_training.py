"""`python -m lavis.train` on a map-style set and shards: who reads which sample, and that it changes nothing else."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from helpers.shards import offset_of, opened, overwrite, sharded

REPOSITORY = Path(__file__).resolve().parents[2]
# `python -m lavis.train`, with a note of every sample that a process trained on.
RECORDER = """
import json, os, runpy, sys
import lavis
from lavis_sam.training.training_data import MapBatches

file, next_batch = open(f"{os.environ['RECORD']}.{os.environ.get('RANK', 0)}", "a"), MapBatches.next_batch

def recording(self):
    batch = next_batch(self)
    if batch.counts:
        file.write(json.dumps([self.epoch, batch.samples["sample_id"], batch.samples["image"].sum().item()]) + "\\n")
        file.flush()
    return batch

MapBatches.next_batch = recording
runpy.run_module("lavis.train", run_name="__main__", alter_sys=True)
"""
PHOTOGRAPHS = 18

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten samples in shards, eighteen photographs in files, and the configuration of a mixture of both."""
    folder = tmp_path_factory.mktemp("mixture")
    sharded(folder)
    config = OmegaConf.load(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml")
    config.datasets.conceptual = {
        "data_type": "shards",
        "vis_processor": {kind: {"image_size": 112} for kind in ("train", "eval")},
        "build_info": {"annotations": {"train": {"storage": str(folder / "shards")}}},
    }
    config.run = OmegaConf.merge(config.run, {"max_epoch": 2, "batch_size_train": 4, "test_splits": []})
    OmegaConf.save(config, folder / "train.yaml")
    (folder / "recorder.py").write_text(RECORDER)
    return folder


def train(folder, name, *options, processes=1):
    """(sample ids by epoch with how often, what was recorded batch by batch and rank by rank, log, checkpoint)."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    words = [f"run.output_dir={folder / 'runs'}", f"run.job_id={name}", *options]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "RECORD": str(folder / name),
    }
    command = [sys.executable, *launcher, str(folder / "recorder.py"), "--cfg-path", str(folder / "train.yaml")]
    done = subprocess.run(
        [*command, "--options", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-5000:]
    recorded = [
        [json.loads(line) for line in (folder / f"{name}.{rank}").read_text().splitlines()] for rank in range(processes)
    ]
    epochs = {}
    for epoch, names, _ in (batch for share in recorded for batch in share):
        epochs.setdefault(epoch, Counter()).update(names)
    log = [json.loads(line) for line in (folder / "runs" / name / "log.jsonl").read_text().splitlines()]
    weights = torch.load(next((folder / "runs" / name).glob("checkpoint_1.pth")), weights_only=True)["model"]
    return epochs, recorded, [line for line in log if line["event"] == "train"], weights, done.stderr


@pytest.fixture(scope="module")
def alone(folder):
    return train(folder, "alone")


def everyone(folder):
    photographs = json.loads((REPOSITORY / "lavis_sam/assets/photographs/annotations.json").read_text())
    shards = [sample.id for sample in opened(folder / "shards").annotation]
    return Counter([*(record["id"] for record in photographs), *shards])


def test_every_sample_exactly_once_an_epoch(folder, alone):
    epochs, _, log, _, _ = alone
    assert epochs == {0: everyone(folder), 1: everyone(folder)}
    assert sum(line["samples"] for line in log) == 2 * (PHOTOGRAPHS + 10)


@pytest.mark.parametrize("batching", ["shuffled", "bucketed"])
def test_two_workers_give_the_same_samples_losses_and_weights(folder, alone, batching):
    one = alone if batching == "shuffled" else train(folder, "bucketed", "run.batching=bucketed")
    two = train(folder, f"{batching}_2", "run.num_workers=2", f"run.batching={batching}")
    assert one[1] == two[1]
    assert [line["loss"] for line in one[2]] == [line["loss"] for line in two[2]]
    assert all(torch.equal(weight, two[3][name]) for name, weight in one[3].items())


def test_two_processes_train_each_sample_exactly_once(folder, alone):
    """28 samples in global batches of 2 x 3: of the last one, each process has two."""
    epochs, recorded, log, _, _ = train(folder, "ranks", "run.batch_size_train=3", "run.num_workers=1", processes=2)
    assert epochs == {0: everyone(folder), 1: everyone(folder)}
    assert not {str(n) for e, names, _ in recorded[0] if e == 0 for n in names} & {
        str(n) for e, names, _ in recorded[1] if e == 0 for n in names
    }
    assert sum(line["samples"] for line in log) == 2 * (PHOTOGRAPHS + 10)
    one = train(folder, "one_of_ranks", "run.batch_size_train=6")
    assert [line["loss"] for line in log] == pytest.approx([line["loss"] for line in one[2]], rel=1e-5)


def test_a_mixture_by_ratio(folder):
    config = OmegaConf.load(folder / "train.yaml")
    config.datasets.mmlink.sample_ratio, config.datasets.conceptual.sample_ratio = 1, 3
    OmegaConf.save(config, folder / "ratio.yaml")
    plain = (folder / "train.yaml").read_text()
    try:
        (folder / "ratio.yaml").replace(folder / "train.yaml")
        epochs, *_ = train(folder, "ratio", "run.num_workers=2")
    finally:
        (folder / "train.yaml").write_text(plain)
    shards = {str(sample.id) for sample in opened(folder / "shards").annotation}
    for names in epochs.values():
        assert sum(count for name, count in names.items() if str(name) in shards) == 21
        assert sum(count for name, count in names.items() if str(name) not in shards) == 7
    photographs = sum(
        (Counter({n: c for n, c in names.items() if str(n) not in shards}) for names in epochs.values()), Counter()
    )
    assert set(photographs.values()) == {1}  # 14 of 18 in two epochs: none comes twice


def test_damaged_samples_are_passed_over_and_counted(folder, tmp_path):
    sharded(tmp_path)
    paths = sorted((tmp_path / "shards").glob("*.tar"))
    overwrite(paths[0], offset_of(paths[0], "000000000.json"), b"[[")  # noticed when the run starts
    overwrite(paths[-1], offset_of(paths[-1], "000000009.1.png") + 40, b"??")  # noticed when it is read
    storage = f"datasets.conceptual.build_info.annotations.train.storage={tmp_path / 'shards'}"
    epochs, *_, errors = train(folder, "damaged", storage, "run.num_workers=2")
    assert epochs[0] == everyone(folder) - Counter(["s/0", 9])
    assert "9 whole sample(s); 1 dropped (1 x damaged member)" in errors
    assert "checksum (CRC-32) is wrong" in errors
    log = [json.loads(line) for line in (folder / "runs" / "damaged" / "log.jsonl").read_text().splitlines()]
    assert len([line for line in log if line["event"] == "bad_samples"]) == 2
