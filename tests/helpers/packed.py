"""Runs of a small model that lets samples share rows or pads them, alike in one process and in two."""

import torch
from torch.distributed.tensor import DTensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from helpers.dummies import dummy_config
from helpers.models import SIZES, small_model
from helpers.sharded import Images
from lavis_sam import distributed
from lavis_sam.models.language.language_model import enable_gradient_checkpointing
from lavis_sam.models.trainable import select_trainable
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask

# Of one to three images each. An epoch has two global batches of eight, and a last one of two, in which a process has
# one sample, with nothing to share a row with.
SAMPLES = 18


def whole(tensor):
    """A copy of a tensor on the CPU, put together from the shares of all processes."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def start(folder, *, packing, trainable="sam", **run):
    """Train in `folder`; returns the gradients of each optimizer step and how many positions the LLM read in training.

    The learning rate is so small that weights hardly move: each step's gradients can be compared by themselves.
    """
    torch.manual_seed(7)
    model, steps, positions = small_model(sizes=SIZES, extractor="none" if trainable != "sam" else "w_former"), [], [0]
    model.packing = packing
    select_trainable(model, trainable)
    enable_gradient_checkpointing(model.llm_model)
    model.before_evaluation = lambda **_: None  # LAVIS's

    def count(module, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        positions[0] += hidden.shape[0] * hidden.shape[1]

    def keep(optimizer, args, kwargs):
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        steps.append({name: whole(gradient) for name, gradient in gradients.items()})

    model.llm_model.model.rotary_emb.register_forward_pre_hook(count, with_kwargs=True)
    keys = {"batch_size_train": 8 // distributed.world_size(), "accum_grad_iters": 2, "init_lr": 1e-7, "max_epoch": 1}
    keys |= {"num_workers": 0, "valid_splits": [], "job_id": "run", "timeout_minutes": 2.0}
    hook = register_optimizer_step_pre_hook(keep)
    try:
        config = dummy_config(folder, **{**keys, **run})
        RunnerSam(config, MultiImageCaptioningTask(), model, {"s": {"train": Images(SAMPLES)}}).train()
    finally:
        hook.remove()
    return steps, positions[0]
