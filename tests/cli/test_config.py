"""`lavis-sam config`: every value of a run with its origin."""

import json

import pytest

from helpers.command_line import TINY, call
from lavis_sam.errors import SamConfigurationError


def test_config_prints_every_value_with_its_origin():
    lines = call("config", "--cfg-path", TINY, "--options", "run.seed=7", "model.max_txt_len=9").splitlines()
    found = {line.split()[0]: line for line in lines}
    assert found["run.seed"].split()[1:] == ["7", "#", "option"]
    assert found["model.max_txt_len"].endswith("# option")
    assert found["run.warmup_steps"].endswith(f"# file {TINY}")
    assert found["run.beta1"].endswith("# default")
    assert found["model.max_output_txt_len"].endswith("# packaged models/blip2_vicuna_sam_tiny.yaml")
    assert not any(line.endswith("# computed") for line in lines)


def test_config_takes_every_options_as_a_run_does():
    words = ["--options", "run.seed=7", "--options", "model.max_txt_len=9", "run.log_freq=5"]
    values = json.loads(call("config", "--cfg-path", TINY, "--json", *words))
    assert [values[key]["value"] for key in ("run.seed", "model.max_txt_len", "run.log_freq")] == [7, 9, 5]


def test_config_as_json():
    values = json.loads(call("config", "--cfg-path", TINY, "--json"))
    assert values["run.init_lr"] == {"value": 0.01, "origin": f"file {TINY}"}
    assert values["run.decoding.num_beams"]["value"] == 1


def test_config_says_everything_that_is_wrong(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"(?s)unknown key 'sed'.*unknown key 'promt'"):
        call("config", "--cfg-path", TINY, "--options", "run.sed=7", "model.promt=9")


def test_config_shows_options_as_a_run_gets_them():
    """Texts as typed, numbers decimal; the first word belongs to the option, the others are arguments."""
    words = ("model.prompt=Describe image #1 and #2", "run.job_id=2024_01_15", "run.seed=042")
    shown = json.loads(call("config", "--cfg-path", TINY, "--json", "--options", *words))
    values = {key: shown[key]["value"] for key in ("model.prompt", "run.job_id", "run.seed")}
    assert values == {"model.prompt": "Describe image #1 and #2", "run.job_id": "2024_01_15", "run.seed": 42}
