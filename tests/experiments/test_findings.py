"""What a sweep's runs say together, on results whose statistics are known."""

import json

import pytest

from helpers.sweeps import write_sweep
from lavis_sam.errors import SamDataError
from lavis_sam.experiments.findings import findings, interval


def test_an_interval_is_students():
    found = interval([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.302653; standard error 1 / sqrt(3)
    assert found["mean"] == 2.0
    assert found["low"] == pytest.approx(2 - 4.302652729911275 / 3**0.5)
    assert found["high"] == pytest.approx(2 + 4.302652729911275 / 3**0.5)
    assert interval([5.0]) == {"mean": 5.0, "low": None, "high": None}
    assert interval([4.0, 4.0]) == {"mean": 4.0, "low": 4.0, "high": 4.0}


def test_scores_differences_and_cases_come_from_the_runs(tmp_path):
    write_sweep(tmp_path)
    found = findings(tmp_path)
    assert found["rows"] == {"base": "InstructBLIP", "sam": "SAM"}
    scores = found["sets"]["mmlink"]["scores"]
    assert found["sets"]["mmlink"]["count"] == 3
    assert scores["sam"]["rouge"]["seeds"] == {"0": pytest.approx(100, abs=1e-3), "1": pytest.approx(100, abs=1e-3)}
    assert scores["base"]["rouge"]["seeds"]["0"] < 70
    (difference,) = [entry for entry in found["comparisons"] if entry["metric"] == "rouge"]
    assert difference["rows"] == ["base", "sam"]
    assert difference["mean"] == pytest.approx(scores["sam"]["rouge"]["mean"] - scores["base"]["rouge"]["mean"])
    assert set(difference["p_samples"]) == {"0", "1"}
    assert all(0 < p <= 1 for p in difference["p_samples"].values())
    case = found["cases"][0]
    assert case["answers"]["sam"] == case["reference"][0]
    assert case["rouge"]["sam"] > case["rouge"]["base"]
    assert found["curves"]["sam"]["0"] == {"0": 3.0, "1": 2.0}
    assert "base" not in found["curves"]  # it did not train


def test_runs_that_are_not_finished_are_listed_and_do_not_count(tmp_path):
    write_sweep(tmp_path, failed=("sam", 1), missing=("base", 1))
    found = findings(tmp_path)
    states = {(run["row"], run["seed"]): run["status"] for run in found["runs"]}
    assert states == {
        ("base", 0): "finished",
        ("base", 1): "not begun",
        ("sam", 0): "finished",
        ("sam", 1): "failed",
    }
    assert list(found["sets"]["mmlink"]["scores"]["sam"]["rouge"]["seeds"]) == ["0"]
    assert found["comparisons"][0]["p_seeds"] is None


def test_a_run_that_a_killed_sweep_could_not_note_is_finished_all_the_same(tmp_path):
    write_sweep(tmp_path)
    (tmp_path / "jobs" / "base.seed-1.json").unlink()
    (tmp_path / "sam" / "seed-1" / "log.jsonl").unlink()
    states = {(run["row"], run["seed"]): run["status"] for run in findings(tmp_path)["runs"]}
    assert states[("base", 1)] == "finished"
    assert states[("sam", 1)] == "stopped"  # its folder is there, and its note is of another log


def test_results_on_other_data_are_refused(tmp_path):
    write_sweep(tmp_path, other_data=("sam", 1))
    with pytest.raises(SamDataError, match="different data"):
        findings(tmp_path)


def test_a_folder_without_a_sweep_and_a_damaged_one_are_refused(tmp_path):
    with pytest.raises(SamDataError, match=r"found no sweep\.json"):
        findings(tmp_path)
    write_sweep(tmp_path)
    (tmp_path / "jobs" / "sam.seed-0.json").write_text("{}", encoding="utf-8")
    assert {run["status"] for run in findings(tmp_path)["runs"]} == {"finished"}
    path = tmp_path / "sam" / "seed-0" / "result" / "test" / "mmlink" / "pred.json"
    path.write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(SamDataError, match=r"pred\.json: missing, or changed"):
        findings(tmp_path)
