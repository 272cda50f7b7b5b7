"""Defects of LAVIS 1.0.2 in the loop, the statistics, the results and the names. Stock first, then ours."""

import argparse
import gc
import itertools
import json
import socket
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace

import lavis
import pytest
import torch
import torch.distributed as dist
from lavis.common import logger as lavis_logger
from lavis.common.config import Config
from lavis.common.optims import LinearWarmupCosineLRScheduler
from lavis.common.registry import registry
from lavis.tasks import captioning
from lavis.tasks.base_task import BaseTask
from omegaconf import OmegaConf

from helpers.stand_in import StandInDataset, StandInModel, record, stand_in_config, write_dataset
from helpers.stock_lavis import stock_loop
from lavis_sam import distributed
from lavis_sam.config.resolve import parse_options
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import storage_path
from lavis_sam.plugin.run_config import SamConfig
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.schedules import LinearWarmupCosineStepLRScheduler
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import read_metric_log

ANSWERS = [
    {"sample_id": f"s{i}", "pred_response": "a", "gt_response": "a b", "target_loss": 1.0, "target_tokens": 2}
    for i in range(3)
]
FILE = """
model: {arch: blip2_vicuna_sam, model_type: vicuna7b}
datasets: {mmlink: {type: photographs}}
run: {task: multi_image_captioning, test_splits: [test]}
"""


def make_runner(folder, dataset, **run):
    config = stand_in_config(folder, **run)
    datasets = {"s": {"train": dataset, "test": StandInDataset(3)}}
    return RunnerSam(config, MultiImageCaptioningTask(), StandInModel(), datasets)


def steps(runner):
    return [event for event in read_metric_log(runner.output_dir / "log.jsonl") if event["event"] == "train"]


@pytest.fixture
def group_of_one():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_defect_7_statistics_need_no_gpu(group_of_one, monkeypatch):
    devices = []
    stub = SimpleNamespace(
        tensor=lambda values, device=None, **options: devices.append(device) or torch.tensor(values, **options),
        float64=torch.float64,
    )
    monkeypatch.setattr(lavis_logger, "torch", stub)
    lavis_logger.SmoothedValue().synchronize_between_processes()
    assert devices == ["cuda"]
    monkeypatch.setattr(torch.Tensor, "cuda", lambda *args, **kwargs: pytest.fail("moved to a GPU"))
    assert distributed.sum_over_ranks([1.5, 2]) == [1.5, 2.0]


def test_defect_19_the_rate_has_no_jump_and_ends_at_the_minimum():
    rates = {}
    for schedule_class in (LinearWarmupCosineLRScheduler, LinearWarmupCosineStepLRScheduler):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        rate = {"min_lr": 0.0, "init_lr": 1.0, "warmup_start_lr": 0.0, "warmup_steps": 6}
        schedule = schedule_class(optimizer=optimizer, max_epoch=4, steps_per_epoch=5, **rate)
        found = rates[schedule_class] = []
        for epoch in range(4):
            for step in range(5):
                schedule.step(cur_epoch=epoch, cur_step=step)
                found.append(optimizer.param_groups[0]["lr"])
    stock, ours = rates.values()
    assert stock[4] < 0.8  # not yet warm
    assert stock[5] - stock[4] > 0.15
    assert stock[-1] > 0.1
    assert ours[4] < ours[5] < ours[6] == 1.0
    assert max(abs(a - b) for a, b in itertools.pairwise(ours)) < 0.17
    assert ours[-1] == pytest.approx(0.0)


def test_defect_20_accumulation_is_a_mean_and_ends_with_the_epoch(tmp_path):
    parameter, _ = stock_loop([{"slope": 1.0}] * 3, accumulate=2)
    assert parameter.item() == -2.0  # a sum, where one batch of both would have moved it by 1
    assert parameter.grad.item() == 1.0  # and the third batch waits for the next epoch
    weights = []
    for batch_size, accumulate in ((1, 2), (2, 1)):
        runner = make_runner(tmp_path, StandInDataset(3), batch_size_train=batch_size, accum_grad_iters=accumulate)
        runner.train()
        assert [step["samples"] for step in steps(runner)] == [2, 1]
        assert all(parameter.grad is None for parameter in runner._model.parameters())
        weights.append(runner._model.trained.weight)
    torch.testing.assert_close(*weights, atol=1e-6, rtol=0)


def test_defect_21_statistics_are_numbers(tmp_path):
    _, stock = stock_loop([{"slope": 1.0}], rate=2e-5)
    assert stock["lr"] == "0.000"
    runner = make_runner(tmp_path, StandInDataset(4), init_lr=2e-5)
    found = runner.train_epoch(0)
    assert found["lr"] == pytest.approx(2e-5)
    assert isinstance(found["loss"], float)


def test_defect_23_results_are_whole_files_and_closed(tmp_path):
    results = tmp_path / "val.json"
    results.write_text("[]")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        BaseTask.save_result(ANSWERS, tmp_path, "val")
        gc.collect()
        assert [warning for warning in caught if warning.category is ResourceWarning]
        with pytest.raises(TypeError):
            BaseTask.save_result([{"sample_id": object()}], tmp_path, "val")
        assert (tmp_path / "val_rank0.json").read_text() == '[{"sample_id": '  # half of it, in the place of the whole
        caught.clear()
        task, folder = MultiImageCaptioningTask(), tmp_path / "ours"
        found = task.after_evaluation(val_result=ANSWERS, split_name="val", epoch=0, result_dir=folder)
        gc.collect()
        assert not [warning for warning in caught if warning.category is ResourceWarning]
    before = Path(found["predictions"]).read_text()
    assert [answer["sample_id"] for answer in json.loads(before)] == ["s0", "s1", "s2"]
    broken = [ANSWERS[0] | {"gt_response": object(), "pred_response": object()}]
    with pytest.raises(Exception, match="object"):
        task.after_evaluation(val_result=broken, split_name="val", epoch=0, result_dir=folder)
    assert Path(found["predictions"]).read_text() == before


def test_defect_25_a_batch_may_be_larger_than_the_data_set(tmp_path):
    """LAVIS drops the batch, and its logger divides by the number of batches that are left."""
    with pytest.raises(ZeroDivisionError):
        stock_loop([])
    runner = make_runner(tmp_path, StandInDataset(3), batch_size_train=64)
    runner.train()
    assert [step["samples"] for step in steps(runner)] == [3]


def test_defect_29_captioning_needs_neither_the_net_nor_java(tmp_path, monkeypatch):
    downloads = []
    monkeypatch.setattr(captioning, "download_url", lambda url, folder: downloads.append(url))
    monkeypatch.setattr(captioning, "COCO", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    with pytest.raises(FileNotFoundError, match="coco_karpathy_val_gt"):
        captioning.CaptionTask(1, 5, 1, True)._report_metrics("pred.json", "val")
    assert "coco_karpathy_val_gt" in downloads[0]

    def forbidden(*args, **kwargs):
        raise AssertionError("the net or a program was asked")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    found = make_runner(tmp_path, StandInDataset(2), test_splits=["test"]).evaluate(cur_epoch="last")
    assert found["test"]["s"]["samples"] == 3


def test_defect_30_unknown_names_list_the_known_ones():
    cfg = SimpleNamespace(model_cfg=OmegaConf.create({"arch": "blip2_vicuna_sm"}))
    with pytest.raises(AttributeError, match="NoneType"):
        BaseTask().build_model(cfg)
    with pytest.raises(SamConfigurationError, match=r"model.arch: .*Did you mean 'blip2_vicuna_sam'\?.*Valid: "):
        MultiImageCaptioningTask().build_model(cfg)


def test_defect_32_the_option_of_the_model_type_selects_its_defaults(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(FILE)
    arguments = argparse.Namespace(cfg_path=str(path), options=["model.model_type=tiny"])
    stock, ours = Config(arguments).model_cfg, SamConfig(arguments).model_cfg
    assert (stock.model_type, ours.model_type) == ("tiny", "tiny")
    assert (stock.sizes.vision.width, ours.sizes.vision.width) == (1408, 128)


@pytest.mark.parametrize("options", [["run.a", "1", "run.b"], ["run.a", "1", "run.b=2"]])
def test_defect_33_no_option_is_lost(options):
    stock = Config._convert_to_dot_list(None, options)
    assert not any(word.startswith("run.b") for word in stock)
    with pytest.raises(SamConfigurationError, match=r"--options: found 'run.a 1 run.b"):
        parse_options(options)


def test_defect_35_data_are_where_the_configuration_says(tmp_path, monkeypatch):
    """LAVIS looks below a folder that only its authors have; ours are relative to the working directory."""
    root = OmegaConf.load(Path(lavis.__file__).parent / "configs" / "default.yaml").env.cache_root
    assert Path(root).is_absolute()
    assert not Path(root).exists()
    assert registry.get_path("cache_root") == root
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "data", [record()])
    assert storage_path("data/annotations.json").resolve() == tmp_path / "data" / "annotations.json"
