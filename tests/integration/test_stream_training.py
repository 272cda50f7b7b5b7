"""`type: webdataset` through `python -m lavis.train`: shards that webdataset alone wrote, on one and two processes.

A run that was killed in the middle of an epoch continues at the exact sample: the same losses, the same weights.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import webdataset
from omegaconf import OmegaConf
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES, SECONDS = 24, 300

pytestmark = pytest.mark.integration


def jpeg(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (10 * shade, 90, 250 - 10 * shade)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four shards of the library's own, and a configuration that names them as LAVIS's users do."""
    folder = tmp_path_factory.mktemp("stream")
    with webdataset.ShardWriter(str(folder / "mmlink-%06d.tar"), maxcount=SAMPLES // 4, verbose=0) as writer:
        for number in range(SAMPLES):
            record = {"caption": f"Answer {number}.", "instruction": "What do both images show?"}
            images = {"0.jpg": jpeg(number), "1.jpg": jpeg(SAMPLES - number)}
            writer.write({"__key__": f"s{number:03d}", **images, "json": json.dumps(record).encode()})
    config = OmegaConf.load(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml")
    config.datasets = {
        "mmlink": {
            "type": "webdataset",
            "vis_processor": {kind: {"image_size": 112} for kind in ("train", "eval")},
            "build_info": {
                "shuffle_buffer": 4,
                "annotations": {"train": {"storage": f"{folder}/mmlink-{{000000..000003}}.tar"}},
            },
        }
    }
    run = {"max_epoch": 2, "batch_size_train": 2, "test_splits": [], "valid_splits": [], "log_freq": 1}
    config.run = OmegaConf.merge(config.run, run, {"checkpoint_steps": 2, "keep_checkpoints": 50})
    OmegaConf.save(config, folder / "train.yaml")
    return folder


def command(folder, name, *options, processes=1):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    words = [f"run.output_dir={folder / 'runs'}", f"run.job_id={name}", *options]
    return [
        sys.executable,
        *launcher,
        "-m",
        "lavis.train",
        "--cfg-path",
        str(folder / "train.yaml"),
        "--options",
        *words,
    ]


ENVIRONMENT = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def train(folder, name, *options, processes=1, code=0):
    done = subprocess.run(
        command(folder, name, *options, processes=processes),
        cwd=folder, env=ENVIRONMENT | {"HOME": str(folder)}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == code, done.stderr[-5000:]
    return done.stderr


def steps(folder, name):
    lines = map(json.loads, (folder / "runs" / name / "log.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if line["event"] == "train"}


def weights(folder, name):
    return torch.load(folder / "runs" / name / "checkpoint_1.pth", weights_only=True)["model"]


def kill_within_the_first_epoch(folder, name, *options, processes=1):
    """SIGKILL for all processes of a run as soon as there is a checkpoint of a step."""
    running = subprocess.Popen(
        command(folder, name, *options, processes=processes), cwd=folder, env=ENVIRONMENT | {"HOME": str(folder)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + SECONDS
    while not list((folder / "runs" / name).glob("checkpoint_0_step*.pth")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Stopped first, so that none starts another meanwhile; torchrun gives its processes sessions of their own.
    os.kill(running.pid, signal.SIGSTOP)
    for process in (running.pid, *descendants(running.pid)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    running.wait()


def descendants(process):
    """The processes that a process started, and those that they started."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


@pytest.mark.parametrize(("processes", "workers"), [(1, 0), (1, 2), (2, 1)])
def test_a_killed_run_continues_at_the_exact_sample(folder, processes, workers):
    kind = f"{processes}_{workers}"
    option = f"run.num_workers={workers}"
    train(folder, f"whole_{kind}", option, processes=processes)
    whole = steps(folder, f"whole_{kind}")
    assert len(whole) == 2 * SAMPLES // (2 * processes)
    kill_within_the_first_epoch(folder, f"killed_{kind}", option, processes=processes)
    train(folder, f"killed_{kind}", option, "run.resume=auto", processes=processes)
    assert steps(folder, f"killed_{kind}") == whole
    expected = weights(folder, f"whole_{kind}")
    assert all(torch.equal(weight, expected[name]) for name, weight in weights(folder, f"killed_{kind}").items())


def test_other_numbers_of_processes_or_workers_are_refused_within_an_epoch(folder):
    kill_within_the_first_epoch(folder, "refused", "run.num_workers=1")
    before = {path.name for path in (folder / "runs" / "refused").iterdir()}
    shutil.copytree(folder / "runs" / "refused", folder / "runs" / "refused_2")
    assert "workers" in train(folder, "refused", "run.num_workers=2", "run.resume=auto", code=2)
    assert {path.name for path in (folder / "runs" / "refused").iterdir()} >= before


def test_more_workers_than_shards_are_refused_before_anything_starts(folder):
    errors = train(folder, "few", "run.num_workers=5", code=2)
    assert "found 4 shard(s) for 1 process(es) with 5 worker(s)" in errors
