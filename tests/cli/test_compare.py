"""`lavis-sam compare`, as a user types it."""

import json

from helpers.scored import FIXTURES


def test_compare(run, story, worse):
    code, out, _ = run("compare", worse, story, "--resamples", 50)
    assert code == 0
    assert f"A: {worse}" in out
    assert "30 samples, protocol sam" in out
    code, out, _ = run("compare", worse, story, "--resamples", 50, "--json")
    assert code == 0
    metrics = json.loads(out)["metrics"]
    assert metrics["rouge"]["difference"] > 0
    assert metrics["rouge"]["p_value"] < 0.05


def test_compare_refuses_other_samples(run, story):
    code, out, err = run("compare", story, FIXTURES / "metrics_caption.json")
    assert (code, out) == (2, "")
    assert f"{story} lacks 39 of" in err
    assert "metrics_caption.json lacks 30 of" in err
