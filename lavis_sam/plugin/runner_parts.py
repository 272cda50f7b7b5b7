"""The parts of the runner: device, model, optimizer, schedule, data and folder, each made when first asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lavis.common.registry import registry
from lavis.runners.runner_base import RunnerBase
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.plugin.registry import registered_class
from lavis_sam.training import resume
from lavis_sam.training.checkpoints import Progress
from lavis_sam.training.optimisation import build_optimizer, build_scaler, build_schedule, wrap_ddp
from lavis_sam.training.output_folder import agreed_run_folder
from lavis_sam.training.sharding import is_sharded, shard
from lavis_sam.training.training_data import TrainingData, build_run_data


class RunnerParts(RunnerBase):
    """LAVIS's runner with parts that also work on a CPU and in one process.

    Attributes:
        settings: The checked `run` section.
        progress: How far the run is.
        output_dir: The run's folder, absolute.
        result_dir: Where in it results go.
        job_id: Its name.
    """

    settings: RunSettings
    progress: Progress
    output_dir: Path
    result_dir: Path
    job_id: str | None
    _model: nn.Module
    _device: torch.device | None
    _wrapped_model: nn.Module | None
    _optimizer: torch.optim.Optimizer | None
    _scaler: torch.amp.GradScaler | None
    _lr_sched: Any
    _dataloaders: dict[str, Any] | None

    @property
    def device(self) -> torch.device:
        """Where the model lives and the batches go."""
        if self._device is None:
            self._device = distributed.choose_device(self.settings.device)
        return self._device

    @property
    def use_distributed(self) -> bool:
        """Whether there are other processes."""
        return distributed.is_distributed()

    @property
    def model(self) -> nn.Module:
        """The model to train: on the device, in DDP or sharded when there are other processes."""
        if self._wrapped_model is None:
            self._wrapped_model = self.bare_model
            if self.use_distributed and not is_sharded(self._wrapped_model):
                self._wrapped_model = wrap_ddp(self._wrapped_model, self.device)
        return self._wrapped_model

    @property
    def bare_model(self) -> nn.Module:
        """The model on the device, never wrapped: for everything but training steps."""
        if is_sharded(self._model):
            return self._model
        if self.settings.sharding and self.use_distributed and not self.settings.evaluate:
            shard(self._model, self.device)
        else:
            self._model = self._model.to(self.device)
        return self._model

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW over the trainable parameters."""
        if self._optimizer is None:
            self._optimizer = build_optimizer(self.bare_model, self.settings)
        return self._optimizer

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The loss scaler of an fp16 model."""
        if self._scaler is None:
            self._scaler = build_scaler(self._model, self.device)
        return self._scaler

    @property
    def lr_scheduler(self) -> Any:
        """The registered schedule `run.lr_sched`, in LAVIS's form."""
        if self._lr_sched is None:
            steps = -(-len(self.training_data) // self.settings.accum_grad_iters)
            import lavis.common.optims  # noqa: F401 - registers LAVIS's own schedules, which nothing else has to import

            schedule = registered_class("learning-rate schedule", self.settings.lr_sched, "run.lr_sched")
            warmup = resume.warmup_steps(self.progress, self.training_data, self.settings)
            self._lr_sched = build_schedule(
                schedule, self.optimizer, self.settings, steps_per_epoch=steps, warmup_steps=warmup
            )
        return self._lr_sched

    @property
    def dataloaders(self) -> dict[str, Any]:
        """{"train": `TrainingData` over all training sets, evaluation split: {data set name: loader}}."""
        if self._dataloaders is None:
            self._dataloaders = self.create_loaders(self.datasets)
        return self._dataloaders

    @property
    def training_data(self) -> TrainingData:
        """The batches of all training sets, with their position."""
        return self.dataloaders["train"]

    @property
    def train_loader(self) -> DataLoader:
        """The loader inside `training_data`."""
        return self.training_data.loader

    def create_loaders(self, datasets: Mapping[str, Mapping[str, Any]], **_: Any) -> dict[str, Any]:
        """Return loaders of all splits that this run uses.

        Raises:
            SamConfigurationError: A split that no data set has.
            SamDataError: An empty training split.
        """
        return build_run_data(datasets, self.settings, pin_memory=self.cuda_enabled)

    def unwrap_dist_model(self, model: nn.Module) -> nn.Module:
        """Return the model inside DDP, or the model itself."""
        return model.module if isinstance(model, DistributedDataParallel) else model

    def setup_output_dir(self) -> None:
        """Make the run's folder; all processes agree on it.

        Raises:
            SamConfigurationError: It cannot be made.
        """
        self.job_id, self.output_dir = agreed_run_folder(self.settings, self.job_id)
        self.result_dir = self.output_dir / "result"
        # LAVIS's own tasks ask the registry; its register_path would refuse a second run in one process.
        registry.mapping["paths"].update(output_dir=str(self.output_dir), result_dir=str(self.result_dir))
