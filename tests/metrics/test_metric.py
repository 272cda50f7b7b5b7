"""A metric is an entry of a table: a fourth one stands everywhere, without a change to the package."""

import json
import logging

import numpy as np
import pytest
from typer.testing import CliRunner

from lavis_sam.cli import app
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.run_folder import read_run, write_results
from lavis_sam.metrics.metric import Metric, mean
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import METRICS, register, score
from lavis_sam.metrics.resampling import intervals, paired_differences
from lavis_sam.plugin.task import MultiImageCaptioningTask

PREDICTIONS = [Prediction(1, "a dog runs", "a dog sits", ("a dog sits",)), Prediction(2, "cats", "two cats", ("x",))]


@pytest.fixture
def words():
    """Words of an answer: the whole metric."""
    register(Metric("words", lambda texts: np.array([[len(t.split())] for t in texts.candidates]), mean, "Words"))
    yield
    del METRICS["words"]


def test_a_fourth_metric_is_scored_with_intervals_and_tests(words):
    scores = score(PREDICTIONS)
    assert scores.reported.corpus["words"] == 200
    assert [row["words"] for row in scores.per_sample()] == [3, 1]
    assert intervals(scores, resamples=20)["words"].low >= 100
    assert paired_differences(scores, scores, resamples=5)["words"].difference == 0


def test_a_fourth_metric_stands_in_run_folders_tables_and_the_command_line(words, tmp_path):
    write_results(tmp_path / "run" / "AESOP", PREDICTIONS, score(PREDICTIONS), dataset="aesop")
    assert json.loads((tmp_path / "run" / "AESOP" / "eval.json").read_text())["words"] == 200
    table = CliRunner().invoke(app, ["table", str(tmp_path / "run")]).stdout
    assert "AESOP Words" in table
    assert "| 200.00 |" in table
    printed = (
        CliRunner().invoke(app, ["score", str(tmp_path / "run" / "AESOP" / "pred.json"), "--resamples", "0"]).stdout
    )
    assert "Words" in printed


def test_a_fourth_metric_may_choose_the_best_checkpoint(words, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    records = [
        {"sample_id": i, "pred_response": "a b", "gt_response": "a", "target_loss": 1.0, "target_tokens": 1}
        for i in range(2)
    ]
    found = MultiImageCaptioningTask(select_best_by="words").after_evaluation(records, "val", 0, tmp_path / "val")
    assert found["agg_metrics"] == found["words"] == 200
    assert "Words 200.00" in caplog.text


def test_runs_of_before_and_after_a_metric_are_read_and_stand_in_one_table(tmp_path):
    write_results(tmp_path / "old" / "AESOP", PREDICTIONS, score(PREDICTIONS), dataset="aesop")
    register(Metric("words", lambda texts: np.ones((len(texts.candidates), 1)), mean))
    try:
        write_results(tmp_path / "new" / "AESOP", PREDICTIONS, score(PREDICTIONS), dataset="aesop")
        assert set(read_run(tmp_path / "old").results[0].corpus) == {"rouge", "cider", "bleu4"}
        words = ["table", str(tmp_path / "old"), str(tmp_path / "new"), "--json"]
        (table,) = json.loads(CliRunner().invoke(app, words).stdout)["tables"]
        assert [row["values"]["AESOP"]["words"] for row in table["rows"][-2:]] == [None, 100]
    finally:
        del METRICS["words"]
    assert read_run(tmp_path / "new").results[0].corpus["words"] == 100  # of a metric that is not known here


@pytest.mark.parametrize("name", ["rouge", "id", "loss"])
def test_names_that_are_taken_are_refused(name):
    with pytest.raises(SamConfigurationError, match="name taken"):
        register(Metric(name, lambda texts: np.zeros((1, 1)), mean))
