"""What a run of `runner_sam` does where LAVIS's runner does not: devices, folders, epochs, checkpoints, logs.

docs/lavis_defects.md says for each what LAVIS 1.0.2 does instead.
"""

import json
import socket
import subprocess
import time

import pytest
import torch
from torchvision.transforms import Compose, Resize, ToTensor

import lavis_sam.weights.checkpoints
from helpers.dummies import SIZE, DummyDataset, DummyModel, dummy_config
from helpers.shards import sharded
from lavis_sam.datasets.shards.stream import ShardStream
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import read_metric_log


def make_runner(folder, dataset=None, **run):
    datasets = {"s": {"train": dataset or DummyDataset(8), "val": DummyDataset(2), "test": DummyDataset(2)}}
    return RunnerSam(dummy_config(folder, **run), MultiImageCaptioningTask(), DummyModel(), datasets)


def steps(runner):
    return [event for event in read_metric_log(runner.output_dir / "log.jsonl") if event["event"] == "train"]


class Zero(MultiImageCaptioningTask):
    def after_evaluation(self, **kwargs):
        return super().after_evaluation(**kwargs) | {"agg_metrics": 0.0}


class NoCollater(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"image": torch.zeros(1), "sample_id": index}


def test_runner_on_a_cpu_needs_no_gpu_and_no_group(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", lambda *args, **kwargs: pytest.fail("a GPU was asked for"))
    monkeypatch.setattr(torch.Tensor, "cuda", lambda *args, **kwargs: pytest.fail("moved to a GPU"))
    runner = make_runner(tmp_path, test_splits=["test"])
    assert isinstance(runner.model, DummyModel)
    assert runner.train_loader.pin_memory is False
    runner.train()
    assert runner.evaluate(cur_epoch="last")["test"]["s"]["samples"] == 2


def test_runner_puts_a_relative_folder_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_runner("output/y", job_id="run")
    assert (tmp_path / "output" / "y" / "run").is_dir()


def test_runner_can_be_made_twice_in_a_process(tmp_path):
    assert make_runner(tmp_path, job_id="a").output_dir != make_runner(tmp_path, job_id="b").output_dir


def test_runner_resumes_from_a_checkpoint_without_frozen_parameters(tmp_path):
    first, second = make_runner(tmp_path), make_runner(tmp_path)
    first.train()
    second._load_checkpoint(str(first.output_dir / "checkpoint_0.pth"))
    assert torch.equal(second._model.trained.weight, first._model.trained.weight)


def test_runner_refuses_a_best_checkpoint_of_something_else(tmp_path):
    runner = make_runner(tmp_path, job_id="run")
    torch.save({"model": {}}, runner.output_dir / "checkpoint_best.pth")
    with pytest.raises(SamCheckpointError, match=r"checkpoint_best\.pth"):
        runner._reload_best_model(runner._model)


def test_runner_takes_a_metric_of_zero_for_the_best(tmp_path):
    runner = make_runner(tmp_path, valid_splits=["val"], test_splits=["test"])
    runner.task = Zero()
    runner.train()
    assert (runner.output_dir / "checkpoint_best.pth").is_file()


def test_runner_takes_no_number_for_worse_than_any_number(tmp_path):
    class Late(Zero):
        """Without a number after the first epoch."""

        found = iter([float("nan"), -2.0, float("nan")])

        def after_evaluation(self, **_):
            return {"agg_metrics": next(self.found)}

    runner = make_runner(tmp_path, valid_splits=["val"], max_epoch=3)
    runner.task = Late()
    runner.train()
    assert (runner.progress.best_metric, runner.progress.best_epoch) == (-2.0, 1)


def test_runner_keeps_the_best_metric_in_the_checkpoint(tmp_path):
    runner = make_runner(tmp_path, valid_splits=["val"])
    runner.train()
    progress = torch.load(runner.output_dir / "checkpoint_best.pth", weights_only=True)["progress"]
    assert progress["best_metric"] == runner.progress.best_metric is not None


def test_runner_that_only_evaluates_saves_no_checkpoint(tmp_path):
    runner = make_runner(tmp_path, evaluate=True, valid_splits=["val"], test_splits=["test"])
    runner.train()
    assert not list(runner.output_dir.glob("*.pth"))


def test_runner_without_an_epoch_evaluates(tmp_path):
    runner = make_runner(tmp_path, max_epoch=0, test_splits=["test"])
    runner.train()
    assert (runner.output_dir / "result" / "test" / "s" / "pred.json").is_file()


def test_runner_does_not_sleep_between_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
    make_runner(tmp_path, max_epoch=3).train()


def test_runner_shuffles_a_resumed_run_as_its_epoch_says(tmp_path):
    orders = []
    for epochs in ((0, 1, 2, 3), (3,)):
        data = make_runner(tmp_path, max_epoch=4, batch_size_train=2).training_data
        for epoch in epochs:
            data.start(epoch, 42)
            order = [data.next_batch().samples["sample_id"] for _ in range(len(data))]
        orders.append(order)
    assert orders[0] == orders[1]


def test_runner_writes_a_log_of_json_lines_with_numbers(tmp_path):
    runner = make_runner(tmp_path, init_lr=2e-5)
    runner.train()
    events = [json.loads(line) for line in (runner.output_dir / "log.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "train"
    assert events[0]["lr"] == pytest.approx(2e-5)
    assert isinstance(events[0]["loss"], float)


def test_runner_that_fails_to_save_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    runner = make_runner(tmp_path)
    runner.train()
    path = runner.output_dir / "checkpoint_0.pth"
    before = path.read_bytes()

    def half(obj, path, *args, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(lavis_sam.weights.checkpoints.torch, "save", half)
    with pytest.raises(SamCheckpointError, match="No space"):
        runner._save_checkpoint(0)
    assert path.read_bytes() == before


def test_runner_accumulates_to_a_mean_and_ends_with_the_epoch(tmp_path):
    weights = []
    for batch_size, accumulate in ((1, 2), (2, 1)):
        runner = make_runner(tmp_path, DummyDataset(3), batch_size_train=batch_size, accum_grad_iters=accumulate)
        runner.train()
        assert [step["samples"] for step in steps(runner)] == [2, 1]
        assert all(parameter.grad is None for parameter in runner._model.parameters())
        weights.append(runner._model.trained.weight)
    torch.testing.assert_close(*weights, atol=1e-6, rtol=0)


def test_runner_trains_with_a_batch_larger_than_the_data_set(tmp_path):
    runner = make_runner(tmp_path, DummyDataset(3), batch_size_train=64)
    runner.train()
    assert [step["samples"] for step in steps(runner)] == [3]


def test_runner_evaluates_without_the_net_and_without_java(tmp_path, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("the net or a program was asked")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    found = make_runner(tmp_path, test_splits=["test"]).evaluate(cur_epoch="last")
    assert found["test"]["s"]["samples"] == 2


def test_runner_collates_a_data_set_without_collater(tmp_path):
    runner = make_runner(tmp_path, NoCollater(), batch_size_train=2)
    runner.training_data.start(0, 42)
    assert sorted(runner.training_data.next_batch().samples["sample_id"].tolist()) == [0, 1]


def test_runner_collates_a_stream_by_its_own_collater(tmp_path):
    """Samples of one, two and three images, which only it can put together."""
    _, folder = sharded(tmp_path, count=4, shard_bytes=2**20)
    stream = ShardStream([str(folder)], Compose([Resize((SIZE, SIZE)), ToTensor()]), shuffle_buffer=1)
    runner = make_runner(tmp_path, stream, batch_size_train=2)
    runner.train()
    assert runner._model.calls == [["s/0", 1], ["s/2", 3], ["s/2", 3]]  # the last one is the stream's end


def test_runner_saves_random_states_and_the_place_in_the_data(tmp_path):
    runner = make_runner(tmp_path, max_epoch=1)
    runner.train()
    content = torch.load(runner.output_dir / "checkpoint_0.pth", weights_only=True)
    assert set(content["random"][0]) == {"python", "numpy", "torch", "cuda"}
    (place,) = content["data"]
    assert (place["epoch"], place["batches"], place["samples"], place["seed"]) == (0, 2, 8, 42)


def test_runner_names_the_new_place_of_lavis_key_amp(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"run.amp: use `model.precision`"):
        make_runner(tmp_path, amp=True)


def test_runner_compiles_its_model_before_it_trains(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr("lavis_sam.plugin.runner.check_compiler", compiled.append)
    monkeypatch.setattr("lavis_sam.plugin.runner.compile_model", compiled.append)
    runner = make_runner(tmp_path, compile=True)
    runner.train()
    assert compiled == [runner.device, runner.bare_model]
    assert steps(runner)


def test_runner_refuses_to_compile_without_a_compiler_or_another_model(tmp_path, monkeypatch):
    with pytest.raises(SamConfigurationError, match=r"run\.compile: the model is a DummyModel"):
        make_runner(tmp_path, job_id="model", compile=True).train()
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with pytest.raises(SamConfigurationError, match=r"run\.compile needs a C\+\+ compiler.*'/nowhere/g\+\+'"):
        make_runner(tmp_path, job_id="compiler", compile=True).train()
    assert not list(tmp_path.rglob("*.pth"))
    assert not list(tmp_path.rglob("log.jsonl"))
