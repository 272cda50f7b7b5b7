"""A run of the dummy model, its events and its checkpoints."""

import torch

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import read_metric_log

COUNT = 12


def make_runner(folder, dataset=None, model=None, **run):
    config = dummy_config(folder, job_id="run", resume="auto", **{"max_epoch": 2, "checkpoint_steps": 1} | run)
    datasets = {"s": {"train": dataset or DummyDataset(COUNT)}}
    return RunnerSam(config, MultiImageCaptioningTask(), model or DummyModel(), datasets)


def events(runner, kind):
    return [event for event in read_metric_log(runner.output_dir / "log.jsonl") if event["event"] == kind]


def whole(folder):
    """Every checkpoint of the run can be read."""
    found = sorted((folder / "run").glob("*.pth"))
    for path in found:
        torch.load(path, weights_only=True)
    return [path.name for path in found]
