"""A server in a process of its own: our own client, and SIGTERM."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import openai
import pytest

from helpers.endpoint_fixtures import data_set, no_key
from helpers.serving import png, user

pytestmark = pytest.mark.integration
__all__ = ["data_set", "no_key"]
COMMAND = [sys.executable, "-m", "lavis_sam.cli"]


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
