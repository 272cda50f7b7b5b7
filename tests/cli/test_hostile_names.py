"""What commands print on a terminal, where names and texts come from somebody who means harm."""

import json
import os
import pty
import subprocess
import sys

import pytest

from helpers.endpoint_server import Reply

HOSTILE = "x\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
OBEYED = ("\x1b]0;", "\x1b[2J", "\u202e", "\x9b", "\x07")


def on_a_terminal(*words, environment=None):
    """What a command shows on a terminal, and its exit code."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "lavis_sam.cli", *map(str, words)]
    with subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env={**os.environ, **(environment or {})}, close_fds=True
    ) as process:
        os.close(its)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # which is how a terminal ends
            pass
        code = process.wait(120)
    os.close(ours)
    return shown.decode(), code


def assert_obeys_nothing(shown):
    assert r"\u001b]0;owned" in shown
    assert not [mark for mark in OBEYED if mark in shown]


@pytest.mark.parametrize("words", [("table",), ("score",), ("plot",), ("data", "stats")])
def test_a_name_in_an_error_is_shown_and_not_obeyed(words, tmp_path):
    shown, code = on_a_terminal(*words, tmp_path / HOSTILE)
    assert code == 2
    assert_obeys_nothing(shown)


def test_a_name_in_a_report_is_shown_and_not_obeyed(story, tmp_path):
    path = tmp_path / f"{HOSTILE}.json"
    path.write_bytes(story.read_bytes())
    shown, code = on_a_terminal("score", path)
    assert code == 0, shown
    assert_obeys_nothing(shown)


def test_a_superfluous_word_is_shown_and_not_obeyed():
    shown, code = on_a_terminal("doctor", HOSTILE, HOSTILE)
    assert code == 2
    assert r"unexpected extra argument(s) (x\x1b]0;owned" in shown
    assert not [mark for mark in OBEYED if mark in shown]


def test_names_in_a_table_of_problems_are_shown_and_not_obeyed(tmp_path):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    record = {"image": [f"{HOSTILE}.png"], "instruction": "x", "output": "y", "id": 1}
    (folder / "annotations.json").write_text(json.dumps([record]), encoding="utf-8")
    shown, code = on_a_terminal("data", "validate", folder)
    assert code in (1, 2), shown
    assert_obeys_nothing(shown)


def test_the_words_of_a_service_are_shown_and_not_obeyed(service, data_set, tmp_path):
    service.otherwise = lambda body: Reply(400, HOSTILE.encode())
    ask = ("baseline", "--endpoint", service.url, "--model", "m", "--dataset", "mine", "--data", data_set)
    shown, code = on_a_terminal(*ask, "--out", tmp_path / "run")
    assert code == 2
    assert_obeys_nothing(shown)
    assert "HTTP 400" in shown
