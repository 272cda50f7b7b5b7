"""Defects of LAVIS 1.0.2 in a run as a whole: device, folder, epochs, checkpoints. Stock first, then ours."""

import json
from types import SimpleNamespace

import pytest
import torch
from lavis.common import utils
from lavis.common.registry import registry
from lavis.datasets.datasets.dataloader_utils import IterLoader
from lavis.runners import runner_base
from lavis.runners.runner_base import RunnerBase
from lavis.tasks import base_task
from lavis.tasks.base_task import BaseTask

import lavis_sam.weights.checkpoints
from helpers.stand_in import StandInDataset, StandInModel, stand_in_config
from helpers.stock_lavis import StockTask, stock_runner
from lavis_sam.errors import SamCheckpointError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.output_folder import make_run_folder


def make_runner(folder, **run):
    datasets = {"s": {"train": StandInDataset(8), "val": StandInDataset(2), "test": StandInDataset(2)}}
    return RunnerSam(stand_in_config(folder, **run), MultiImageCaptioningTask(), StandInModel(), datasets)


@pytest.fixture
def alone(monkeypatch):
    """Past defect 4."""
    monkeypatch.setattr(runner_base.dist, "barrier", lambda: None)


class Zero(MultiImageCaptioningTask):
    def after_evaluation(self, **kwargs):
        return super().after_evaluation(**kwargs) | {"agg_metrics": 0.0}


def test_defect_1_the_model_is_there_on_a_cpu(tmp_path):
    stock = stock_runner(tmp_path)
    stock._wrapped_model = None
    assert stock.model is None
    assert isinstance(make_runner(tmp_path).model, StandInModel)


def test_defect_3_evaluation_stays_on_the_device_of_the_run(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(base_task, "prepare_sample", lambda samples, cuda_enabled: asked.append(cuda_enabled) or {})
    task = BaseTask()
    task.before_evaluation, task.valid_step = lambda **_: None, lambda model, samples: []
    stock_runner(tmp_path, task=task).eval_epoch("test", 0)
    assert asked == [True]
    monkeypatch.setattr(torch.Tensor, "cuda", lambda *args, **kwargs: pytest.fail("moved to a GPU"))
    found = make_runner(tmp_path, test_splits=["test"]).evaluate(cur_epoch="last")
    assert found["test"]["s"]["samples"] == 2


def test_defect_4_one_process_waits_for_nobody(tmp_path):
    with pytest.raises(ValueError, match="process group"):
        stock_runner(tmp_path).train()
    make_runner(tmp_path).train()


def test_defect_8_a_relative_folder_is_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.mapping, "paths", {"library_root": str(tmp_path / "site-packages")})
    monkeypatch.chdir(tmp_path)
    stock_runner(tmp_path, output_dir="output/x").setup_output_dir()
    assert (tmp_path / "site-packages" / "output" / "x" / "run").is_dir()
    make_runner("output/y", job_id="run")
    assert (tmp_path / "output" / "y" / "run").is_dir()


def test_defect_9_a_process_may_make_two_runners(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.mapping, "paths", {"library_root": str(tmp_path)})
    stock_runner(tmp_path, output_dir="x").setup_output_dir()
    with pytest.raises(KeyError, match="already registered"):
        stock_runner(tmp_path, output_dir="x").setup_output_dir()
    assert make_runner(tmp_path, job_id="a").output_dir != make_runner(tmp_path, job_id="b").output_dir


def test_defect_10_runs_that_start_together_have_folders_of_their_own(tmp_path):
    assert len(utils.now()) == len("202601011200") - 1  # the last digit of the minutes is gone
    assert len({make_run_folder(tmp_path, None) for _ in range(5)}) == 5


def test_defect_11_a_checkpoint_without_frozen_parameters_can_be_continued_from(tmp_path, monkeypatch):
    stock = stock_runner(tmp_path)
    stock._save_checkpoint(0)
    monkeypatch.setattr(torch, "load", lambda path, load=torch.load, **_: load(path, weights_only=False))
    with pytest.raises(RuntimeError, match=r"frozen\.weight"):
        stock._load_checkpoint(str(tmp_path / "checkpoint_0.pth"))
    monkeypatch.undo()
    first = make_runner(tmp_path)
    first.train()
    second = make_runner(tmp_path)
    second._load_checkpoint(str(first.output_dir / "checkpoint_0.pth"))
    assert torch.equal(second._model.trained.weight, first._model.trained.weight)


def test_defect_12_a_best_checkpoint_of_something_else_is_refused(tmp_path):
    torch.save({"model": {}}, tmp_path / "checkpoint_best.pth")
    stock = stock_runner(tmp_path)
    assert stock._reload_best_model(stock._model) is stock._model
    runner = make_runner(tmp_path, job_id="run")
    torch.save({"model": {}}, runner.output_dir / "checkpoint_best.pth")
    with pytest.raises(SamCheckpointError, match=r"checkpoint_best\.pth"):
        runner._reload_best_model(runner._model)


def test_defect_13_a_metric_of_zero_may_be_the_best(tmp_path, alone):
    with pytest.raises(FileNotFoundError, match="checkpoint_best"):
        stock_runner(tmp_path, valid_splits=["val"], test_splits=["test"]).train()
    runner = make_runner(tmp_path, valid_splits=["val"], test_splits=["test"])
    runner.task = Zero()
    runner.train()
    assert (runner.output_dir / "checkpoint_best.pth").is_file()


def test_defect_14_the_best_metric_is_in_the_checkpoint(tmp_path):
    stock_runner(tmp_path)._save_checkpoint(0, is_best=True)
    stock = torch.load(tmp_path / "checkpoint_best.pth", weights_only=False)
    assert set(stock) == {"model", "optimizer", "config", "scaler", "epoch"}
    runner = make_runner(tmp_path, valid_splits=["val"])
    runner.train()
    progress = torch.load(runner.output_dir / "checkpoint_best.pth", weights_only=True)["progress"]
    assert progress["best_metric"] == runner.progress.best_metric is not None


def test_defect_15_evaluating_saves_no_checkpoint(tmp_path, alone):
    task = StockTask()
    task.metric = 1.0
    stock_runner(tmp_path, task=task, evaluate=True, valid_splits=["val"]).train()
    assert (tmp_path / "checkpoint_best.pth").is_file()
    runner = make_runner(tmp_path, evaluate=True, valid_splits=["val"], test_splits=["test"])
    runner.train()
    assert not list(runner.output_dir.glob("*.pth"))


def test_defect_16_no_epoch_is_a_run_too(tmp_path):
    with pytest.raises(UnboundLocalError, match="cur_epoch"):
        stock_runner(tmp_path, max_epoch=0).train()
    make_runner(tmp_path, max_epoch=0, test_splits=["test"]).train()


def test_defect_18_a_continued_run_shuffles_as_its_epoch_says(tmp_path):
    """LAVIS's loader counts epochs from 0 in each process; nothing tells it that the run goes on with epoch 3."""
    told = []

    class Loader(list):
        sampler = SimpleNamespace(set_epoch=told.append)

    loader = IterLoader(Loader([0]), use_distributed=True)
    next(loader)
    assert (loader.epoch, told) == (0, [])
    orders = []
    for epochs in ((0, 1, 2, 3), (3,)):
        data = make_runner(tmp_path, max_epoch=4, batch_size_train=2).training_data
        for epoch in epochs:
            data.start(epoch, 42)
            order = [data.next_batch().samples["sample_id"] for _ in range(len(data))]
        orders.append(order)
    assert orders[0] == orders[1]


def test_defect_22_every_line_of_the_log_is_json(tmp_path):
    stock_runner(tmp_path).log_config()
    with pytest.raises(json.JSONDecodeError):
        [json.loads(line) for line in (tmp_path / "log.txt").read_text().splitlines()]
    runner = make_runner(tmp_path)
    runner.train()
    assert all(json.loads(line)["event"] for line in (runner.output_dir / "log.jsonl").read_text().splitlines())


def test_defect_24_a_crash_while_saving_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    stock, ours = stock_runner(tmp_path), make_runner(tmp_path)
    stock._save_checkpoint(0)
    ours.train()
    paths = (tmp_path / "checkpoint_0.pth", ours.output_dir / "checkpoint_0.pth")
    before = [path.read_bytes() for path in paths]

    def half(obj, path, *args, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    monkeypatch.setattr(lavis_sam.weights.checkpoints.torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        stock._save_checkpoint(0)
    with pytest.raises(SamCheckpointError, match="No space"):
        ours._save_checkpoint(0)
    assert [path.read_bytes() == content for path, content in zip(paths, before, strict=True)] == [False, True]


def test_defect_28_memory_is_pinned_for_a_gpu_alone(tmp_path, monkeypatch):
    options = {}
    monkeypatch.setattr(runner_base, "DataLoader", lambda *args, **kwargs: options.update(kwargs))
    monkeypatch.setattr(runner_base, "PrefetchLoader", lambda loader: loader)
    stock = SimpleNamespace(use_distributed=False)
    RunnerBase.create_loaders(stock, [StandInDataset(2)], 0, [1], [False], [None])
    assert options["pin_memory"] is True
    runner = make_runner(tmp_path, test_splits=["test"])
    assert runner.train_loader.pin_memory is False
    assert runner.dataloaders["test"]["s"]._options["pin_memory"] is False
