"""Runs of a small model that may be sharded, alike in one process and in two."""

from dataclasses import replace

import torch

from helpers.dummies import DummyDataset, dummy_config
from helpers.models import SIZES, small_model
from lavis_sam import distributed
from lavis_sam.models.language.language_model import enable_gradient_checkpointing
from lavis_sam.models.trainable import select_trainable
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.weights.injection import inject

# 5 samples, of which a step of two processes takes 2: the last one has a sample for rank 0 alone. Widths of 21 and 25
# and 3 queries do not divide by two.
SAMPLES = 5
ODD = replace(SIZES, language=replace(SIZES.language, layers=3, intermediate=25))
LORA = {"targets": ["q_proj", "v_proj", "query"], "rank": 3, "alpha": 8}
# name -> what is trained, what is injected, and keys of the run.
RUNS = {
    "language": ("language", {}, {"max_grad_norm": 0.5, "valid_splits": ["val"], "test_splits": ["val"]}),
    "lora": ("sam", {"lora": LORA}, {"test_splits": ["val"]}),
    "vpg_c": ("vpg_c", {"vpg_c": {}}, {"valid_splits": ["val"]}),
    "base": ("base", {}, {"max_nonfinite_steps": 2, "accum_grad_iters": 2, "test_splits": ["val"]}),
}


class RunDiedError(Exception):
    """What ends a run."""


class Images(DummyDataset):
    """Samples with images of the small model's size."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample | {"image": sample["image"][..., :7, :7].repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)}


def model_of(name):
    """The model of one of `RUNS`, with what it trains."""
    trainable, injected, _ = RUNS[name]
    model = small_model(sizes=ODD, zero=True, **({} if trainable == "sam" else {"extractor": "none"}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        inject(model, injected)
    select_trainable(model, trainable, further=model.injected)
    enable_gradient_checkpointing(model.llm_model)
    model.before_evaluation = lambda **_: None  # LAVIS's
    return model


def start(folder, name, *, dies_at=None, **run):
    """Train one of `RUNS` in `folder`, from where it is; the model ends the run in its training batch `dies_at`."""
    torch.manual_seed(7)
    model, batches = model_of(name), []

    def count(module, arguments):
        batches.extend([1] if module.training else [])
        if len(batches) == dies_at:
            raise RunDiedError

    def poison(module, arguments, output):
        is_poisoned = name == "base" and module.training and "s1" in arguments[0]["sample_id"]
        return output | {"loss": output["loss"] * float("nan")} if is_poisoned else output

    model.register_forward_pre_hook(count)
    model.register_forward_hook(poison)
    keys = {"max_epoch": 2, "keep_checkpoints": 20, "resume": "auto", "job_id": "run"}
    keys |= {"batch_size_train": 2 // distributed.world_size(), "num_workers": 0, "valid_splits": [], "init_lr": 1e-3}
    keys |= {"decoding": {"max_length": 5, "num_beams": 2}, "timeout_minutes": 2.0}
    config = dummy_config(folder, **{**keys, **RUNS[name][2], **run})
    datasets = {"s": {"train": Images(SAMPLES), "val": Images(3, "v")}}
    RunnerSam(config, MultiImageCaptioningTask({"max_length": 5, "num_beams": 2}), model, datasets).train()
    return model
