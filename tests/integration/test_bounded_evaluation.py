"""`run.batch_gb_eval` over two processes: the answers of one process, each batch within its bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.evaluation_runs import evaluate

TESTS = Path(__file__).resolve().parents[1]
COUNTS = [2, 4, 1, 3, 1, 2, 1, 4, 2, 1, 1, 1, 3]
SCRIPT = f"""
import sys
from datetime import timedelta
from pathlib import Path

import torch
from helpers.evaluation_runs import evaluate

from lavis_sam import distributed

with distributed.process_group(distributed.Launch.from_environment(), torch.device("cpu"), timedelta(seconds=120)):
    evaluate(Path(sys.argv[1]), {COUNTS}, samples_of_the_largest=2)
"""

pytestmark = pytest.mark.integration


def test_two_processes_answer_as_one_and_keep_to_the_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    bound = evaluate(one, COUNTS, samples_of_the_largest=2)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        str(script),
        str(two),
    ]
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]

    answers = [(folder / "run/result/test/s/pred.json").read_text() for folder in (one, two)]
    assert answers[0] == answers[1]
    records = json.loads(answers[0])
    assert [record["sample_id"] for record in records] == [f"s{i}" for i in range(len(COUNTS))]
    assert len({record["pred_response"] for record in records}) > 1

    shares = [json.loads((two / f"batches-{rank}.json").read_text()) for rank in range(2)]
    assert abs(len(shares[0]) - len(shares[1])) <= 1
    for batches in (json.loads((one / "batches-0.json").read_text()), shares[0] + shares[1]):
        assert sum(samples for samples, _ in batches) == len(COUNTS)
        assert all(size <= bound for _, size in batches)
        # Small samples come in larger batches than the largest ones, of which two fit.
        assert max(samples for samples, _ in batches) > 2
