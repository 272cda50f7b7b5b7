"""Validation during training is the evaluation: the same files, and its metric chooses the best checkpoint."""

import json

import pytest

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.evaluation.run_folder import read_run
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask


class Learning(DummyModel):
    """Answers with as many right words as it has been validated before."""

    validated = 0

    def before_evaluation(self, **kwargs):
        self.validated += 1

    def generate(self, samples, **decoding):
        right = min(self.validated, 3)
        return [" ".join(["word"] * right + ["other"] * (3 - right)) for _ in samples["prompt"]]


def train(folder, **run):
    options = {"max_epoch": 3, "valid_splits": ["val"], "job_id": "run", "log_freq": 1000}
    config = dummy_config(folder, **(options | run))
    datasets = {"aesop": {"train": DummyDataset(8), "val": DummyDataset(5)}}
    task = MultiImageCaptioningTask.setup_task(cfg=config)
    runner = RunnerSam(config, task, Learning(), datasets)
    runner.train()
    return runner


def test_every_epoch_leaves_scored_results_under_the_papers_name(tmp_path):
    runner = train(tmp_path)
    for epoch in range(3):
        (results,) = read_run(runner.result_dir / f"val_epoch{epoch}").results
        assert (results.title, results.count, results.made_by["split"]) == ("AESOP", 5, "val")
        assert results.folder.name == "AESOP"


@pytest.mark.parametrize("metric", ["rouge", "bleu4"])
def test_the_best_checkpoint_is_the_one_with_the_best_score(tmp_path, metric):
    runner = train(tmp_path, select_best_by=metric)
    lines = [json.loads(line) for line in (runner.output_dir / "log.jsonl").read_text().splitlines()]
    scores = [line[metric] for line in lines if line["event"] == "evaluation"]
    assert len(scores) == 3
    assert runner.progress.best_metric == max(scores) == scores[2] > scores[0]
    assert runner.progress.best_epoch == 2


def test_another_training_may_replace_the_results_of_an_earlier_one(tmp_path):
    train(tmp_path, init_lr=0.05)
    runner = train(tmp_path, init_lr=0.01, overwrite=True)
    for epoch in range(3):
        assert read_run(runner.result_dir / f"val_epoch{epoch}").results[0].count == 5


def test_an_evaluation_in_a_folder_of_other_answers_is(tmp_path):
    def evaluate(**run):
        return train(tmp_path, evaluate=True, valid_splits=[], test_splits=["val"], **run)

    evaluate()
    evaluate(batch_size_eval=3)
    with pytest.raises(ValueError, match=r"decoding\.num_beams: then 5, now 2"):
        evaluate(decoding={"num_beams": 2})
