"""Two processes fill one feature cache and train from it; a process that is killed while it fills loses little."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers.command_line import REPOSITORY, TINY
from lavis_sam.features.store import FeatureStore, read_identity

pytestmark = pytest.mark.integration
ENVIRONMENT = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
# Every entry a shard of its own, and slowly: time enough to be killed.
SLOW = """
import sys, time
from lavis_sam.cli import main
from lavis_sam.features import fill

fill.SHARD_BYTES, fill.BATCH = 1, 1
whole = fill._Shard.write
def write(self):
    whole(self)
    time.sleep(0.2)
fill._Shard.write = write
sys.argv = ["lavis-sam", "cache-features", *sys.argv[1:]]
main()
"""


def losses(folder):
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [event["loss"] for event in events if event["event"] == "train"]


def train(folder, processes, *options):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    settings = ["run.max_epoch=1", "run.feature_crops=2", "run.test_splits=[]", "run.device=cpu", *options]
    settings += [f"run.output_dir={folder}", f"run.job_id={processes}", f"run.batch_size_train={6 // processes}"]
    command = [sys.executable, *launcher, "-m", "lavis_sam.train", "--cfg-path", TINY, "--options", *settings]
    done = subprocess.run(command, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return losses(folder / str(processes))


def test_feature_cache_of_two_processes_trains_as_images_in_one(tmp_path):
    cached = train(tmp_path, 2, f"run.feature_cache={tmp_path / 'features'}")
    assert len(list((tmp_path / "features").glob("part-*"))) == 2, "each process wrote its share"
    store = FeatureStore(tmp_path / "features", read_identity(tmp_path / "features"))
    assert len(store) == 25 * 2
    # Gradients of two processes are summed in another order.
    assert train(tmp_path, 1) == pytest.approx(cached, rel=1e-5)


def test_feature_cache_goes_on_after_a_kill(tmp_path):
    features = tmp_path / "features"
    command = [sys.executable, "-c", SLOW, TINY, "--out", str(features), "--options", "run.feature_crops=2"]
    killed = subprocess.Popen(command, cwd=REPOSITORY, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(list(features.glob("part-*"))) < 3:
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = sorted(features.glob("part-*"))
    assert 3 <= len(kept) < 75
    words = [sys.executable, "-m", "lavis_sam.cli", "cache-features", *command[3:]]
    done = subprocess.run(words, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"computed {len(FeatureStore(features, read_identity(features))) - len(kept)} entries" in done.stderr
    assert set(kept) <= set(features.glob("part-*"))
