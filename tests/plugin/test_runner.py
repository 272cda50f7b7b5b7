"""The runner on the CPU, with a fake model: what LAVIS's RunnerBase gets wrong there works here."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import lavis
import pytest
import torch
from lavis.common.registry import registry
from lavis.runners.runner_base import RunnerBase
from lavis.tasks import CaptionTask
from omegaconf import OmegaConf

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.output_folder import make_run_folder


def make_runner(folder, *, model=None, datasets=None, job_id=None, **run):
    config = dummy_config(folder, **({"test_splits": ["test"]} | run))
    datasets = datasets or {"fake": {"train": DummyDataset(10), "val": DummyDataset(3), "test": DummyDataset(5)}}
    task = MultiImageCaptioningTask.setup_task(cfg=config)
    return RunnerSam(cfg=config, task=task, model=model or DummyModel(), datasets=datasets, job_id=job_id)


def metric_log(runner):
    return [json.loads(line) for line in (runner.output_dir / "log.jsonl").read_text().splitlines()]


class ChosenMetric(MultiImageCaptioningTask):
    """A task whose validation metrics are given."""

    metrics = ()

    def after_evaluation(self, val_result, split_name, epoch, result_dir, **kwargs):
        found = super().after_evaluation(val_result, split_name, epoch, result_dir, **kwargs)
        return found | ({"agg_metrics": self.metrics[epoch]} if isinstance(epoch, int) else {})


def test_registered_as_a_lavis_runner():
    assert registry.get_runner_class("runner_sam") is RunnerSam
    assert issubclass(RunnerSam, RunnerBase)


def test_trains_and_captions(tmp_path):
    runner = make_runner(tmp_path, max_epoch=4)
    runner.train()
    events = metric_log(runner)
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [0, 1, 2, 3]
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert [event["event"] for event in events[-2:]] == ["evaluation", "finished"]
    assert (events[-2]["split"], events[-2]["dataset"], events[-2]["samples"]) == ("test", "fake", 5)
    predictions = json.loads((runner.output_dir / "result" / "test" / "fake" / "pred.json").read_text())
    assert [record["sample_id"] for record in predictions] == [f"s{i}" for i in range(5)]
    assert sorted(path.name for path in runner.output_dir.glob("*.pth")) == ["checkpoint_2.pth", "checkpoint_3.pth"]
    content = torch.load(runner.output_dir / "checkpoint_3.pth", weights_only=True)
    assert set(content["model"]) == {"trained.weight", "trained.bias"}


def test_a_run_is_repeatable(tmp_path):
    first, second = (make_runner(tmp_path, max_epoch=2, num_workers=workers) for workers in (0, 2))
    for runner in (first, second):
        runner.train()
    assert torch.equal(first._model.trained.weight, second._model.trained.weight)
    assert first.output_dir != second.output_dir


def test_batches_of_like_size(tmp_path):
    """`run.batching` reaches the order of the samples."""
    dataset = DummyDataset(24)
    dataset.annotation = [SimpleNamespace(images=[0] * (1 + i % 3), instruction="", output="") for i in range(24)]
    spread = {}
    for batching in ("shuffled", "bucketed"):
        runner = make_runner(
            tmp_path, datasets={"s": {"train": dataset}}, test_splits=[], batch_size_train=8, batching=batching
        )
        runner.train()
        spread[batching] = [len({int(name[1:]) % 3 for name in call}) for call in runner._model.calls]
    assert spread == {"shuffled": [3, 3, 3], "bucketed": [1, 1, 1]}


def test_output_goes_below_the_working_directory(tmp_path, monkeypatch):
    """Defect 8: LAVIS writes a relative output_dir into site-packages."""
    monkeypatch.chdir(tmp_path)
    installed = Path(lavis.__file__).parent
    before = {path for path in installed.rglob("*") if "__pycache__" not in path.parts}
    runner = make_runner("output/x", max_epoch=1)
    runner.train()
    assert runner.output_dir.parent == tmp_path / "output" / "x"
    assert (tmp_path / "output" / "x" / runner.job_id / "log.jsonl").is_file()
    assert {path for path in installed.rglob("*") if "__pycache__" not in path.parts} == before
    assert registry.get_path("output_dir") == str(runner.output_dir)


def test_two_runs_at_once_have_two_folders(tmp_path):
    """Defects 9 and 10: a second runner in a process, and runs within ten minutes of each other."""
    folders = {make_runner(tmp_path).output_dir for _ in range(3)}
    assert len(folders) == 3


def test_names_of_runs_are_dates(tmp_path):
    name = make_run_folder(tmp_path, None)
    assert len(name) == len("20260101-120000")
    assert (tmp_path / name).is_dir()


def test_an_output_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SamConfigurationError, match=r"run.output_dir: .*file.*name another"):
        make_runner(tmp_path / "file")


def test_no_epoch_only_evaluates(tmp_path):
    """Defect 16: LAVIS raises UnboundLocalError."""
    runner = make_runner(tmp_path, max_epoch=0, datasets={"fake": {"test": DummyDataset(2)}})
    runner.train()
    assert [event["event"] for event in metric_log(runner)] == ["evaluation", "finished"]
    assert not list(runner.output_dir.glob("*.pth"))


def test_evaluate_only_saves_no_checkpoint_and_needs_no_training_set(tmp_path):
    """Defect 15."""
    runner = make_runner(tmp_path, evaluate=True, valid_splits=["val"], datasets={"s": {"test": DummyDataset(2)}})
    runner.train()
    assert not list(runner.output_dir.glob("*.pth"))
    assert (runner.output_dir / "result" / "test" / "s" / "pred.json").is_file()


def test_a_batch_larger_than_the_data_set(tmp_path):
    """Defect 25: LAVIS drops the batch and divides by zero."""
    runner = make_runner(tmp_path, batch_size_train=64)
    runner.train()
    assert [event["samples"] for event in metric_log(runner) if event["event"] == "train"] == [10]


@pytest.mark.parametrize(("metrics", "best"), [((-3.0, -1.0, -2.0), 1), ((0.0, 0.0, 0.0), 0), ((-5.0, -4.0, -3.0), 2)])
def test_the_best_epoch_may_have_any_metric(tmp_path, metrics, best):
    """Defects 13 and 14: LAVIS starts at 0, so these save no best checkpoint, and the test phase crashes."""
    runner = make_runner(tmp_path, max_epoch=3, valid_splits=["val"])
    runner.task = ChosenMetric()
    runner.task.metrics = metrics
    runner.train()
    content = torch.load(runner.output_dir / "checkpoint_best.pth", weights_only=True)
    assert content["progress"]["best_epoch"] == best
    assert content["progress"]["best_metric"] == metrics[best]
    assert content["progress"]["epochs"] == best + 1
    assert torch.equal(runner._model.trained.weight, content["model"]["trained.weight"])  # what was tested
    assert (runner.output_dir / "result" / "val_epoch2" / "fake" / "pred.json").is_file()


@pytest.mark.parametrize("change", [lambda state: state.pop("trained.bias"), lambda state: state.clear()])
def test_a_best_checkpoint_that_does_not_fit_is_refused(tmp_path, change):
    """Defect 12."""
    runner = make_runner(tmp_path, max_epoch=1, valid_splits=["val"])
    runner.train()
    path = runner.output_dir / "checkpoint_best.pth"
    content = torch.load(path)
    change(content["model"])
    torch.save(content, path)
    with pytest.raises(SamCheckpointError, match=r"checkpoint_best\.pth"):
        runner.evaluate(cur_epoch="best")


def test_a_continued_run_equals_an_uninterrupted_one(tmp_path):
    """Defects 11 and 18: LAVIS cannot load what it saved, and would shuffle a continued run wrongly."""
    whole = make_runner(tmp_path, max_epoch=4, keep_checkpoints=9)
    whole.train()
    continued = make_runner(tmp_path, max_epoch=4, resume_ckpt_path=str(whole.output_dir / "checkpoint_1.pth"))
    continued.train()
    assert torch.equal(whole._model.trained.weight, continued._model.trained.weight)
    assert torch.equal(whole._model.trained.bias, continued._model.trained.bias)
    steps = [[event for event in metric_log(runner) if event["event"] == "train"] for runner in (whole, continued)]
    assert [event["loss"] for event in steps[0][6:]] == [event["loss"] for event in steps[1]]
    assert [event["step"] for event in steps[1]] == list(range(6, 12))


class Signalled(DummyModel):
    """Gets a signal during its n-th forward pass."""

    at = 0

    def forward(self, samples):
        if len(self.calls) + 1 == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(samples)


# 10 samples are 3 steps, the 3 for validation one batch more, and the 5 for the test another two.
@pytest.mark.parametrize(
    ("at", "newest"),
    [(2, "checkpoint_0_step2.pth"), (4, "checkpoint_1_step3.pth"), (8, "checkpoint_1.pth"), (9, "checkpoint_1.pth")],
    ids=["a step", "a validation", "the last validation", "the test"],
)
def test_a_signal_leaves_a_checkpoint_and_the_run_continues_exactly(tmp_path, at, newest):
    options = {"max_epoch": 2, "valid_splits": ["val"], "batch_size_eval": 3, "resume": "auto", "job_id": "run"}
    whole, handler = make_runner(tmp_path / "whole", **options), signal.getsignal(signal.SIGTERM)
    whole.train()
    model = Signalled()
    model.at = at
    stopped = make_runner(tmp_path / "here", model=model, **options)
    stopped.train()
    assert signal.getsignal(signal.SIGTERM) is handler
    end = metric_log(stopped)[-1]
    assert (end["event"], end["signal"]) == ("stopped", "SIGTERM")
    assert stopped.checkpoints.newest_first()[0].name == newest
    continued = make_runner(tmp_path / "here", **options)
    continued.train()
    assert metric_log(continued)[-1]["event"] == "finished"
    assert torch.equal(whole._model.trained.weight, continued._model.trained.weight)
    assert continued.progress.best_metric == whole.progress.best_metric


def test_several_training_and_test_sets(tmp_path):
    datasets = {
        "one": {"train": DummyDataset(3, "a"), "test": DummyDataset(2, "a")},
        "two": {"train": DummyDataset(4, "b"), "test": DummyDataset(3, "b")},
    }
    runner = make_runner(tmp_path, datasets=datasets)
    runner.train()
    trained = [name for call in runner._model.calls[:2] for name in call]
    assert sorted(trained) == ["a0", "a1", "a2", "b0", "b1", "b2", "b3"]
    for name, count in (("one", 2), ("two", 3)):
        path = runner.output_dir / "result" / "test" / name / "pred.json"
        assert len(json.loads(path.read_text())) == count
    metrics = runner.evaluate(cur_epoch="last")["test"]
    assert metrics["agg_metrics"] == pytest.approx((metrics["one"]["agg_metrics"] + metrics["two"]["agg_metrics"]) / 2)


def test_epochs_are_shuffled_and_augmented_differently(tmp_path):
    dataset = DummyDataset(10)
    runner = make_runner(tmp_path, max_epoch=2, datasets={"s": {"train": dataset}}, test_splits=[], seed=5)
    runner.train()
    assert dataset.drawn == [(5, 0), (5, 1)]
    assert runner._model.calls[:3] != runner._model.calls[3:]


def test_another_kind_of_task_is_an_error(tmp_path):
    task = CaptionTask(1, 10, 1, False)
    with pytest.raises(SamConfigurationError, match=r"found CaptionTask.*multi_image_captioning"):
        RunnerSam(dummy_config(tmp_path), task, DummyModel(), {}, "x")


def test_lavis_schedules_work_too(tmp_path):
    runner = make_runner(tmp_path, lr_sched="linear_warmup_cosine_lr", max_epoch=2)
    runner.train()
    rates = [event["lr"] for event in metric_log(runner) if event["event"] == "train"]
    assert rates[3:] == pytest.approx([0.025] * 3)  # epoch 1 of 2: half the cosine


def test_the_resolved_configuration_lies_in_the_folder(tmp_path):
    runner = make_runner(tmp_path, max_epoch=1)
    runner.train()
    assert OmegaConf.load(runner.output_dir / "config.yaml").run.init_lr == 0.05
