"""A run that trains LoRA and dies continues bit by bit."""

import pytest
import torch
from omegaconf import OmegaConf

from helpers.dummies import DummyDataset, dummy_config
from lavis_sam.plugin.model import Blip2VicunaSAM
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import read_metric_log
from lavis_sam.weights.packaged import MODEL_CONFIGS

LORA = {"targets": ["q_proj", "v_proj", "query"], "rank": 2, "alpha": 8}


class RunDiedError(Exception):
    """What ends the run."""


class Images(DummyDataset):
    """Samples with images of the tiny model's size."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample | {"image": sample["image"].repeat_interleave(14, dim=2).repeat_interleave(14, dim=3)}


def start(folder, dies_at=None):
    """Train, from where the folder says; the model ends the run in its batch `dies_at`."""
    torch.manual_seed(7)
    packaged = OmegaConf.load(MODEL_CONFIGS["tiny"]).model
    model = Blip2VicunaSAM.from_config(OmegaConf.merge(packaged, {"lora": LORA}))
    calls = []

    def count(module, arguments):
        calls.append(1)
        if len(calls) == dies_at:
            raise RunDiedError

    model.register_forward_pre_hook(count)
    run = {"max_epoch": 2, "batch_size_train": 2, "checkpoint_steps": 1, "resume": "auto", "job_id": "run"}
    datasets = {"s": {"train": Images(5)}}
    config = dummy_config(folder, valid_splits=[], num_workers=0, init_lr=0.01, **run)
    RunnerSam(config, MultiImageCaptioningTask(), model, datasets).train()
    return model


def losses(folder):
    events = read_metric_log(folder / "run" / "log.jsonl")
    return {event["step"]: event["loss"] for event in events if event["event"] == "train"}


def test_resume_with_lora_is_bit_equal(tmp_path):
    whole = start(tmp_path / "whole")
    with pytest.raises(RunDiedError):
        start(tmp_path / "killed", dies_at=4)
    continued = start(tmp_path / "killed")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 6
    for name in whole.injected:
        assert torch.equal(continued.get_parameter(name), whole.get_parameter(name)), name
    assert any(whole.get_parameter(name).any() for name in whole.injected if ".lora_B." in name)
