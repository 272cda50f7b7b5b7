"""A local model on two processes."""

import json
import os
import socket
import subprocess
import sys

import pytest

from helpers.vision_language import write_llava

SECONDS = 300


def start(words, rank, ranks, port):
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in place.items()}}
    command = [sys.executable, "-m", "lavis_sam.cli", *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(words, ranks):
    """Exit code, stdout and stderr of every rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(words, rank, ranks, port) for rank in range(ranks)]
    try:
        return [(*reversed(process.communicate(timeout=SECONDS)), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.integration
def test_two_processes_answer_as_one(data_set, tmp_path):
    model = write_llava(tmp_path / "tiny-llava")
    found = []
    for ranks in (1, 2):
        out = tmp_path / f"run-{ranks}"
        words = ["baseline", model, "--dataset", "mine", "--data", data_set, "--out", out, "--device", "cpu"]
        ended = run([*words, "--max-length", 6, "--json"], ranks)
        assert [code for _, _, code in ended] == [0] * ranks, ended
        assert json.loads(ended[0][1])["sets"][0]["count"] == 4
        assert all(text == "" for _, text, _ in ended[1:])
        found.append((out / "mine" / "pred.json").read_bytes())
    assert found[0] == found[1]


@pytest.mark.integration
def test_a_service_is_asked_by_one_process(data_set, tmp_path, service):
    words = ["baseline", "--endpoint", service.url, "--model", "m", "--dataset", "mine", "--data", data_set]
    for said, _, code in run([*words, "--out", tmp_path / "run"], 2):
        assert code == 2
        assert "found 2 processes and an endpoint" in said
    assert service.requests == []
