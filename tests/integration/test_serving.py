"""A server in a process of its own: both clients, load with broken requests, memory, and SIGTERM."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from helpers.endpoint_fixtures import data_set, no_key
from helpers.serving import decoded, png, user
from lavis_sam.predictor import SamPredictor

pytestmark = pytest.mark.integration
__all__ = ["data_set", "no_key"]
COMMAND = [sys.executable, "-m", "lavis_sam.cli"]
SHORT = {"max_tokens": 4, "extra_body": {"num_beams": 1}}


@contextmanager
def served(*options):
    """Start a server; its process and its address."""
    words = [*COMMAND, "serve", "--model", "tiny", "--device", "cpu", "--port", "0", "--timeout", "900", *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"serving tiny at (http://127\.0\.0\.1:\d+/v1)\n", line)
        assert found, line
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def client_of(url):
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=900)


def resident_kib(process):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1])


def cut_off(url):
    """Announce a body, send a part, leave."""
    place = url.removeprefix("http://").removesuffix("/v1").split(":")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection((place[0], int(place[1]))) as connection:
        connection.sendall(head + b'Content-Length: 999\r\n\r\n{"model": "tiny", ')


def test_serving_under_load_loses_nothing_and_keeps_its_memory():
    predictor = SamPredictor.from_pretrained("tiny", device="cpu")
    images = [png(seed) for seed in range(6)]
    asked = [(f"Say {place}.", images[place : place + 1 + place % 3]) for place in range(4)]
    wanted = [
        predictor.caption([decoded(data) for data in shown], text, num_beams=1, max_length=5) for text, shown in asked
    ]
    with served() as (process, url), client_of(url) as client, ThreadPoolExecutor(200) as pool:

        def ask(number):
            if number % 40 == 0:
                return cut_off(url)
            text, shown = asked[number % 4] if number % 20 else ("Say.", [b"no image"])
            try:
                done = client.chat.completions.create(model="tiny", messages=user(text, *shown), **SHORT)
            except openai.BadRequestError as error:
                return str(error)
            return done.choices[0].message.content

        def round_of(count):
            numbers = list(range(count))
            random.Random(count).shuffle(numbers)
            for number, said in zip(numbers, pool.map(ask, numbers), strict=True):
                if number % 20:
                    assert said == wanted[number % 4]
                else:
                    assert said is None if number % 40 == 0 else "no readable image" in said

        round_of(200)
        early = resident_kib(process)
        for _ in range(9):
            round_of(200)
        late = resident_kib(process)
        print(f"resident after 200 requests: {early} KiB, after 2,000: {late} KiB")
        assert late < 1.05 * early
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_serving_to_our_own_client(data_set, tmp_path):
    with served() as (_, url):
        words = ["baseline", "--endpoint", url, "--model", "tiny", "--dataset", "mine", "--data", str(data_set)]
        done = subprocess.run(
            [*COMMAND, *words, "--max-new-tokens", "4", "--out", str(tmp_path / "run"), "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "OPENAI_API_KEY": ""},
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["sets"][0]["count"] == 4


def test_serving_finishes_what_runs_when_it_is_asked_to_end():
    with served() as (process, url), client_of(url) as client:
        more = {"max_tokens": 100, "extra_body": {"num_beams": 1, "min_tokens": 100}}
        pieces = client.chat.completions.create(model="tiny", messages=user("What?", png()), stream=True, **more)
        ends, begun = [], threading.Event()

        def read():
            for chunk in pieces:
                begun.set()
                ends.append(chunk.choices[0].finish_reason)

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(60)
        process.send_signal(signal.SIGTERM)
        reader.join()
        assert ends[-1] == "length"
        assert process.wait(60) == 0
