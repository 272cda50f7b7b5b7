"""`lavis-sam vlmeval`: what reaches the launcher, and exit codes."""

from importlib import import_module

import pytest


@pytest.fixture
def launched(monkeypatch):
    """What the launcher is called with; the list `failed` is what it returns."""
    calls, failed = [], []

    def launch(load, arguments, **options):
        calls.append((load, arguments, options))
        return failed

    monkeypatch.setattr(import_module("lavis_sam.evaluators.vlmeval_launch"), "launch", launch)
    return calls, failed


def test_what_stands_behind_the_dashes_is_vlmevalkits(run, launched):
    code, *_ = run("vlmeval", "--num-beams", 2, "--max-new-tokens", 9, "--", "--data", "BLINK", "--limit", "3")
    assert code == 0
    ((load, arguments, options),) = launched[0]
    assert arguments == ["--data", "BLINK", "--limit", "3"]
    assert options == {"name": "lavis_sam", "choose": "text", "decoding": {"num_beams": 2, "max_length": 10}}
    assert load.args[0] == "tiny"


def test_published_decoding_is_the_default(run, launched):
    assert run("vlmeval", "--model", "vicuna7b", "--choose", "likelihood", "--name", "b", "--", "--data", "x")[0] == 0
    ((load, _, options),) = launched[0]
    assert options == {"name": "b", "choose": "likelihood", "decoding": {}}
    assert load.args[0] == "vicuna7b"


def test_a_data_set_that_failed_is_exit_code_1(run, launched):
    launched[1].append("Dataset x is not valid")
    code, _, complained = run("vlmeval", "--", "--data", "x")
    assert code == 1
    assert "Dataset x is not valid\nnot all data sets are answered" in complained


def test_without_options_of_vlmevalkit_it_is_a_usage_error(run):
    assert run("vlmeval", "--model", "tiny")[0] == 2
