"""`lavis-sam plan`: what a run would need."""

import json
from pathlib import Path

import pytest

from helpers.command_line import TINY, call
from lavis_sam.errors import SamConfigurationError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_plan():
    made = json.loads(
        call("plan", "--cfg-path", TINY, "--json", "--images", "3", "--options", "run.batch_size_train=2")
    )
    assert made["load"] == made["load"] | {"batch": 2, "images": 3, "eval_batch": 9}
    assert type(made["trainable_parameters"]) is int
    assert made["memory"]["training"] > sum(made["memory"]["weights"].values())
    text = call("plan", "--cfg-path", str(REPOSITORY / "projects" / "sam" / "train.yaml"), "--gpus", "4")
    assert "4332417" in text
    assert "4 GPU(s) x 1 batch(es) x 5 sample(s)" in text
    # Vicuna-7B trains on a card of 24 GB, 13B from 40 GB on; without the data nobody knows how long.
    rows = [line.split() for line in text.splitlines() if line.strip().startswith("vicuna")]
    assert [row[-3:] for row in rows if "training" in row] == [["yes"] * 3, ["no", "yes", "yes"]]
    assert "How many steps: give --samples N" in text
    assert "annotations.json" in text


def test_plan_says_steps_and_hours():
    text = call("plan", "--cfg-path", TINY, "--gpus", "4", "--samples", "69000", "--step-seconds", "1.5")
    assert "46000 steps: 16 epoch(s) of 69000 samples, 24 samples a step" in text
    assert "19.17 hours, at 1.500 s a step (given)" in text


def test_plan_counts_the_samples_of_the_data_set_and_reads_a_log(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"event": "train", "step": 0, "seconds": 9.0}\n{"event": "train", "step": 1, "seconds": 0.5}\n')
    made = json.loads(call("plan", "--cfg-path", TINY, "--json", "--log", str(tmp_path)))
    wanted = {"samples": 18, "samples_per_step": 6, "steps_per_epoch": 3, "steps": 48, "step_seconds": 0.5}
    assert made["run"] == wanted | {"hours": 48 * 0.5 / 3600}
    assert made["step_seconds_from"] == f"the median of {tmp_path}"
    assert made["cards"]["tiny"]["training"]["fits_on_gb"] == [24, 40, 80]


def test_plan_measures_a_step():
    made = json.loads(call("plan", "--cfg-path", TINY, "--json", "--measure", "--options", "run.batch_size_train=1"))
    assert made["step_seconds_from"] == "measured here on cpu, without loading data"
    assert made["run"]["hours"] == 16 * 18 * made["run"]["step_seconds"] / 3600 > 0


@pytest.mark.parametrize("words", [("--measure", "--step-seconds", "1"), ("--log", "x", "--measure")])
def test_plan_takes_one_time_of_a_step(run, words):
    code, _, error = run("plan", "--cfg-path", TINY, *words)
    assert (code, "found several of --step-seconds, --log and --measure" in error) == (2, True)


CACHE = ("--options", "run.feature_cache=x", "run.feature_crops=2", "run.feature_cache_precision=fp16")


def test_plan_of_the_recipe_has_its_steps_hours_and_feature_cache():
    recipe = ("plan", "--cfg-path", str(REPOSITORY / "projects" / "sam" / "train.yaml"), "--gpus", "4", "--json")
    made = json.loads(call(*recipe, "--samples", "69000", "--step-seconds", "1.5", *CACHE))
    assert made["run"] == made["run"] | {"steps": 3450, "samples_per_step": 20, "hours": 3450 * 1.5 / 3600}
    assert made["feature_cache"]["entry_bytes"] == 257 * 1408 * 2
    assert made["feature_cache"]["bytes"] == 257 * 1408 * 2 * 69000 * 2 * 2


def test_plan_says_what_a_feature_cache_takes():
    recipe = ("plan", "--cfg-path", TINY, "--samples", "69000")
    cache = json.loads(call(*recipe, "--json", *CACHE))["feature_cache"]
    text = call(*recipe, *CACHE)
    assert f"at most {cache['bytes'] / 1e9:.2f} GB of disk for training" in text
    assert f"{cache['entry_bytes'] / 1e6:.3f} MB an image and crop (fp16)" in text
    assert "Feature cache" not in call(*recipe)


def test_plan_says_how_many_cards_a_device_map_needs():
    made = json.loads(call("plan", "--cfg-path", TINY, "--json", "--options", "model.device_map=auto"))
    assert made["device_map"]["tiny"]["training"][0] == {"card_gb": 24, "cards": 1, "waiting": 0}
    with pytest.raises(SamConfigurationError, match="--gpus 2 means processes"):
        call("plan", "--cfg-path", TINY, "--gpus", "2", "--options", "model.device_map=auto")


@pytest.mark.parametrize("option", ["--samples", "--images", "--text-tokens", "--target-tokens", "--gpus"])
def test_plan_refuses_a_number_below_one_by_its_option(run, option):
    code, _, error = run("plan", "--cfg-path", "missing.yaml", option, "-3")
    assert code == 2
    assert option in error
    assert "greater than or equal to 1" in error
    assert "missing.yaml" not in error


def test_plan_refuses_negative_seconds_without_samples_too(run):
    code, _, error = run("plan", "--cfg-path", TINY, "--step-seconds", "-1")
    assert (code, "--step-seconds" in error) == (2, True)
