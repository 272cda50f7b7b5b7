"""`lavis-sam cache-features`, and runs of the embedded model that read what it wrote."""

import json

import pytest
import torch

from helpers.command_line import TINY
from lavis_sam.training.metric_log import read_metric_log

SHORT = ("run.max_epoch=1", "run.feature_crops=2")


def test_cache_features_wants_a_folder(run):
    code, _, error = run("cache-features", TINY)
    assert (code, "--out: missing" in error) == (2, True)


def test_cache_features_wants_the_number_of_random_crops(run, tmp_path):
    code, _, error = run("cache-features", TINY, "--out", tmp_path / "features")
    assert (code, "run.feature_crops=4" in error) == (2, True)


@pytest.mark.integration
def test_cache_features_serves_runs_that_equal_those_without_bit_by_bit(run, tmp_path):
    features, folder = tmp_path / "features", tmp_path / "runs"
    assert run("cache-features", TINY, "--out", features, *SHORT)[0] == 0
    shards = sorted(features.iterdir())
    options = (*SHORT, f"run.output_dir={folder}")
    for name, further in (("plain", ()), ("cached", (f"run.feature_cache={features}",))):
        code, _, error = run("train", TINY, "--options", *options, f"run.job_id={name}", *further)
        assert code == 0, error
    assert sorted(features.iterdir()) == shards, "nothing was computed again"
    plain, cached = (torch.load(folder / name / "checkpoint_0.pth", weights_only=True) for name in ("plain", "cached"))
    assert plain["model"].keys() == cached["model"].keys()
    assert all(torch.equal(tensor, cached["model"][name]) for name, tensor in plain["model"].items())
    losses = [
        [event["loss"] for event in read_metric_log(folder / name / "log.jsonl") if event["event"] == "train"]
        for name in ("plain", "cached")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3
    answers, manifests = [], []
    for name in ("plain", "cached"):
        result = folder / name / "result" / "test" / "mmlink"
        answers.append((result / "pred.json").read_bytes())
        manifests.append(json.loads((result / "manifest.json").read_text()))
    assert answers[0] == answers[1]
    assert manifests[0]["made_by"]["weights"] == manifests[1]["made_by"]["weights"]
    code, _, error = run(
        "train", TINY, "--options", *options, "run.job_id=other", f"run.feature_cache={features}", "model.base_seed=1"
    )
    assert (code, "made by something else" in error) == (2, True)
    # What was cut off is refused, and computed again when it is gone.
    shard = next(path for path in shards if path.suffix == ".safetensors")
    shard.write_bytes(shard.read_bytes()[:-1])
    code, _, error = run("cache-features", TINY, "--out", features, *SHORT)
    assert (code, "was cut off" in error) == (2, True)
    shard.unlink()
    assert run("cache-features", TINY, "--out", features, *SHORT)[0] == 0
