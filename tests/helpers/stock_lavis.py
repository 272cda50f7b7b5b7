"""LAVIS's own runner, task and loop, as far as they go on a CPU: where a test meets a defect before ours is asked."""

from pathlib import Path
from types import SimpleNamespace

import torch
from lavis.runners.runner_base import RunnerBase
from lavis.tasks.base_task import BaseTask
from omegaconf import OmegaConf
from torch import nn

from helpers.stand_in import StandInModel

RUN = {
    "device": "cpu",
    "distributed": False,
    "evaluate": False,
    "max_epoch": 1,
    "init_lr": 0.1,
    "min_lr": 0.0,
    "weight_decay": 0.0,
    "lr_sched": "linear_warmup_cosine_lr",
    "batch_size_train": 1,
    "batch_size_eval": 1,
    "num_workers": 0,
    "train_splits": ["train"],
    "valid_splits": [],
    "test_splits": [],
}


def stock_runner(folder: Path, *, task=None, **run) -> RunnerBase:
    """A `RunnerBase` over the stand-in model, put together past the parts that need a GPU or a folder of LAVIS's."""
    runner = object.__new__(RunnerBase)
    model = StandInModel()
    model.device = torch.device("cpu")
    runner._model = runner._wrapped_model = model
    runner._device, runner._scaler, runner._lr_sched, runner._optimizer = torch.device("cpu"), None, None, None
    runner._dataloaders = {split: [split] for split in ("train", "val", "test")}
    runner.datasets = dict.fromkeys(runner._dataloaders)
    runner.task, runner.start_epoch, runner.output_dir, runner.job_id = task or StockTask(), 0, folder, "run"
    runner.config = SimpleNamespace(run_cfg=OmegaConf.create(RUN | run), to_dict=lambda: {"run": RUN | run})
    return runner


class StockTask(BaseTask):
    """LAVIS's task with nothing to do: it trains nothing, and a validation gives `metric`."""

    metric = 0.0

    def train_epoch(self, **kwargs):
        return {}

    def before_evaluation(self, **kwargs):
        pass

    def evaluation(self, model, data_loader, cuda_enabled=True):
        return []

    def after_evaluation(self, **kwargs):
        return {"agg_metrics": self.metric}


def stock_loop(batches: list[dict], *, accumulate: int = 1, rate: float = 1.0) -> tuple[nn.Parameter, dict]:
    """LAVIS's training loop over a loss whose gradient is each batch's `slope`.

    Returns:
        The parameter, which starts at 0 and is moved by plain gradient descent, and the loop's statistics.
    """
    parameter = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=rate)
    task = BaseTask()
    task.train_step = lambda model, samples: parameter * samples["slope"]
    schedule = SimpleNamespace(step=lambda **_: None)
    found = task._train_inner_loop(
        0, len(batches), nn.Identity(), iter(batches), optimizer, schedule, accum_grad_iters=accumulate
    )
    return parameter, found
