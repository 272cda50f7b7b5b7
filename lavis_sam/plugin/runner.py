"""The LAVIS runner `runner_sam`: trains, evaluates and saves, on CPU or GPU, in one process or many."""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lavis.common.registry import registry
from omegaconf import OmegaConf
from torch import nn

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.run_folder import folder_name
from lavis_sam.evaluation.sam_model import warn_if_untrained
from lavis_sam.features.run_features import RunFeatures
from lavis_sam.files import write_text
from lavis_sam.memory import naming_dead_worker
from lavis_sam.models.compilation import check_compiler, compile_model
from lavis_sam.plugin.runner_parts import RunnerParts
from lavis_sam.run_layout import LOG_FILE
from lavis_sam.signals import RunStopped, StopRequest
from lavis_sam.training import resume
from lavis_sam.training.checkpoints import Progress, RunCheckpoints, load_model
from lavis_sam.training.epoch_trainer import EpochTrainer
from lavis_sam.training.metric_log import MetricLog, writing
from lavis_sam.training.metric_loggers import build_metric_loggers, check_metric_loggers
from lavis_sam.training.output_folder import check_is_free, config_path, remove_run
from lavis_sam.training.sharding import whole_for_evaluation

logger = logging.getLogger(__name__)


@registry.register_runner("runner_sam")
class RunnerSam(RunnerParts):
    """LAVIS's epoch-based runner, with its public names, and its own way of doing each thing.

    A run's folder is `run.output_dir`/`job_id`, relative to the working directory:
    `config.yaml` (resolved), `log.jsonl`, `checkpoint_<epoch>.pth`, `checkpoint_<epoch>_step<n>.pth`,
    `checkpoint_best.pth`, `result/<split>[_epoch<n>]/<data set>/pred.json`.

    Attributes:
        settings: The checked `run` section.
        progress: How far the run is, best metric.
        stop: Whether somebody asked the run to end.
        features: The feature cache that the data sets read; None without one.
    """

    features: RunFeatures | None

    def __init__(
        self,
        cfg: Any,
        task: Any,
        model: nn.Module,
        datasets: Mapping[str, Mapping[str, Any]],
        job_id: str | None = None,
    ) -> None:
        """Store the parts; nothing is moved or loaded here.

        Args:
            cfg: `SamConfig`, or any configuration of LAVIS's kind.
            task: A `MultiImageCaptioningTask`.
            model: The model, on any device.
            datasets: Data set name -> split -> data set.
            job_id: Name of the run's folder; without one, `run.job_id`, else the date and time.

        Raises:
            SamConfigurationError: A wrong `run` section, a task of another kind, or an output folder that cannot be
                made.
        """
        self.settings = RunSettings.from_config(cfg.run_cfg)
        if not hasattr(task, "train_output"):
            raise SamConfigurationError(
                f"run.task: found {type(task).__name__}, wanted a task with `train_output`, which gives runner_sam the "
                "number of target tokens. Use `multi_image_captioning`, or LAVIS's runner_base."
            )
        self.progress = Progress()
        self.stop = StopRequest()
        self._random: dict[str, Any] | None = None
        self._has_folder = False
        self.features = None
        super().__init__(cfg, task, model, datasets, job_id)
        self.checkpoints = RunCheckpoints(self.output_dir, self.settings.keep_checkpoints)
        self.metric_log = MetricLog(self.output_dir / LOG_FILE)

    # The run ---------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Train `run.max_epoch` epochs, validating and saving after each, then evaluate the test splits.

        With `run.evaluate`, or without an epoch to train, only evaluate. SIGTERM or SIGINT ends the run after the step
        under way, with a checkpoint.

        Raises:
            SamConfigurationError: Another process works in the run's folder, or there is a run in it already. Whatever
                is refused, nothing in the folder was written, renamed or removed.
        """
        with self._folder_to_itself():
            checkpoint = self._check()
            if self.features is not None:
                self.features.prepare(self._model, self.device)
            if self.settings.compile:  # after the features, which every run may share
                logger.info("run.compile: layers compiled: %s", compile_model(self.bare_model))
            # No process may write before all have checked.
            distributed.barrier()
            try:
                self._begin(checkpoint)
                with self.stop:
                    self._run()
            except RunStopped:
                self._end_early()
            finally:
                self.metric_log.close()
                # DDP's threads abort the interpreter at its end if they outlive the process group.
                self._wrapped_model = None

    @contextmanager
    def _folder_to_itself(self) -> Iterator[None]:
        """Lock the run's folder, unless it is locked by this runner already; and name a data worker that dies."""
        if self._has_folder:
            yield
            return
        with distributed.locked_by_main(self.output_dir, "or name another run.job_id."), naming_dead_worker():
            self._has_folder = True
            try:
                yield
            finally:
                self._has_folder = False

    def _check(self) -> str | None:
        """Find all that can be refused, and load what the run continues from; returns that checkpoint."""
        check_is_free(self.output_dir, self.settings)
        check_metric_loggers(self.settings)
        if self.settings.compile:
            check_compiler(self.device)
        loaders, checkpoint = self.dataloaders, None
        if not self.settings.evaluate:
            checkpoint = self._resume()
        elif not self.settings.overwrite and hasattr(self.task, "check_evaluation"):
            for split in self.settings.test_splits:
                for name, loader in loaders[split].items():
                    folder = self.result_dir / split / folder_name(name)
                    self.task.check_evaluation(self.bare_model, loader, dataset=name, result_dir=folder)
        if "train" in loaders:
            _ = self.lr_scheduler  # and with it the optimizer
        return checkpoint

    def _begin(self, checkpoint: str | None) -> None:
        """Make the folder ready: the first time that something in it is written or removed."""
        if distributed.is_main_process():
            if self.settings.overwrite and not self.settings.evaluate:
                remove_run(self.output_dir)
            self.checkpoints.remove_leftovers()
        self.log_config()
        if distributed.is_main_process():
            self.metric_log.metric_loggers = build_metric_loggers(self.settings, self.output_dir, self.config.to_dict())
        self.metric_log.end_last_line()
        if checkpoint is not None:
            resume.abandon_later(self.checkpoints, checkpoint, self.progress, self.metric_log)
            self.metric_log.write("resumed", step=self.progress.step, checkpoint=checkpoint)

    def _run(self) -> None:
        if not self.settings.evaluate:
            if self.progress.validated < self.progress.epochs:
                self._validate(self.progress.epochs - 1)
            for epoch in range(self.progress.epochs, self.settings.max_epoch):
                self.log_stats(self.train_epoch(epoch), "train", epoch=epoch)
                self.progress.epochs, self.progress.sums = epoch + 1, {}
                self._validate(epoch)
                if (epoch + 1) % self.settings.checkpoint_epochs == 0 or epoch + 1 == self.settings.max_epoch:
                    self._save_checkpoint(epoch)
        if self.settings.test_splits:
            warn_if_untrained(self.bare_model)
        self.evaluate(cur_epoch="last" if self.progress.best_epoch is None else "best")
        self.metric_log.write("finished", step=self.progress.step)
        logger.info("everything of this run is in %s", self.output_dir)

    def _end_early(self) -> None:
        """Leave a checkpoint of where the run is, and say how to continue."""
        if not self.settings.evaluate and self.progress.epochs < self.settings.max_epoch:
            self._save(f"{self.progress.epochs}_step{self.progress.step}")
        elif not self.settings.evaluate and self.progress.validated < self.progress.epochs:
            self._save_checkpoint(self.progress.epochs - 1)
        self.metric_log.write("stopped", step=self.progress.step, signal=self.stop.name)
        how = f"continue with --options run.resume=auto run.job_id={self.job_id}"
        logger.warning("stopped by %s after step %d; %s", self.stop.name or "another rank", self.progress.step, how)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train what is left of an epoch; see `EpochTrainer.run` for what it returns."""
        self.model.train()
        trainer = EpochTrainer(
            task=self.task,
            model=self.model,
            optimizer=self.optimizer,
            scheduler=self.lr_scheduler,
            scaler=self.scaler,
            settings=self.settings,
            device=self.device,
            metric_log=self.metric_log,
            progress=self.progress,
            stop=self.stop,
            after_step=self._after_step,
        )
        try:
            self.training_data.start(epoch, self.settings.seed)
            if self._random is not None:  # after everything that draws while a run is put together
                resume.restore_rng_state(self._random)
                self._random = None
            return trainer.run(epoch, self.training_data)
        finally:
            self.training_data.stop()

    def _after_step(self, epoch: int) -> None:
        if self.settings.checkpoint_steps and self.progress.step % self.settings.checkpoint_steps == 0:
            self._save(f"{epoch}_step{self.progress.step}")

    def evaluate(self, cur_epoch: int | str = "best", skip_reload: bool = False) -> dict[str, Any]:
        """Caption every test split.

        Args:
            cur_epoch: "best" loads the best checkpoint of this run first; anything else takes the model as it is.
            skip_reload: Take the model as it is in any case.

        Returns:
            Split -> what `eval_epoch` returns.
        """
        with self._folder_to_itself():
            return {
                split: self.eval_epoch(split, cur_epoch, skip_reload=skip_reload) for split in self.settings.test_splits
            }

    def eval_epoch(self, split_name: str, cur_epoch: int | str, skip_reload: bool = False) -> dict[str, Any]:
        """Caption one split.

        Args:
            cur_epoch: See `evaluate`; a number (validation) keeps that epoch's predictions apart.
            skip_reload: See `evaluate`.

        Returns:
            On every process: data set name -> what the task's `after_evaluation` returns; and `agg_metrics`, the mean
            of theirs.
        """
        model = self.bare_model
        if cur_epoch == "best" and not skip_reload:
            self._reload_best_model(model)
        model.eval()
        with torch.no_grad(), whole_for_evaluation(model):
            return self._eval_split(model, split_name, cur_epoch)

    def _eval_split(self, model: nn.Module, split_name: str, cur_epoch: int | str) -> dict[str, Any]:
        """See `eval_epoch`; the model is as it is to be evaluated."""
        folder = self.result_dir / (f"{split_name}_epoch{cur_epoch}" if isinstance(cur_epoch, int) else split_name)
        metrics: dict[str, Any] = {}
        for name, loader in self.dataloaders[split_name].items():
            self.task.before_evaluation(model=model, dataset=loader.dataset)
            place: dict[str, Any] = {"dataset": name, "result_dir": folder / folder_name(name)}
            results = self.task.evaluation(
                # A run that trains has other weights each time; only an evaluation asked for as such is continued.
                model,
                loader,
                cuda_enabled=self.cuda_enabled,
                stop=self.stop,
                restart=self.settings.overwrite or not self.settings.evaluate,
                **place,
            )
            if distributed.is_main_process():
                with writing(place["result_dir"]):
                    metrics[name] = self.task.after_evaluation(
                        val_result=results, split_name=split_name, epoch=cur_epoch, **place
                    )
                self.log_stats(metrics[name], split_name, epoch=cur_epoch, dataset=name)
        metrics = distributed.from_main(metrics)
        return metrics | {"agg_metrics": sum(part["agg_metrics"] for part in metrics.values()) / len(metrics)}

    @resume.keep_rng_state()
    def _validate(self, epoch: int) -> None:
        """Evaluate the validation splits; the first one decides which checkpoint is the best."""
        if not self.settings.valid_splits:
            self.progress.validated = epoch + 1
        for index, split in enumerate(self.settings.valid_splits):
            metric = self.eval_epoch(split, epoch)["agg_metrics"]
            best = self.progress.best_metric
            self.progress.validated = epoch + 1
            # Not a number is worse than any number.
            if index == 0 and (best is None or metric > best or (math.isnan(best) and not math.isnan(metric))):
                self.progress.best_metric, self.progress.best_epoch = metric, epoch
                self._save_checkpoint(epoch, is_best=True)

    # Files -----------------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, cur_epoch: int, is_best: bool = False) -> None:
        """Save after an epoch (LAVIS's name)."""
        self._save("best" if is_best else cur_epoch)

    def _save(self, name: int | str) -> None:
        """Write a checkpoint, all processes together."""
        resume.save(
            self.checkpoints,
            name,
            model=self.bare_model,
            config=self.config.to_dict(),
            progress=self.progress,
            data=self.training_data,
            optimizer=self.optimizer,
            scaler=self.scaler,
            schedule=self.settings.lr_sched,
        )

    def _reload_best_model(self, model: nn.Module) -> nn.Module:
        """Load the best checkpoint of this run; every trained parameter must be in it."""
        load_model(self.checkpoints.path("best"), model)
        return model

    def _resume(self) -> str | None:
        """Load what `run.resume` says, if it says so, and write nothing; returns the checkpoint.

        Raises:
            SamCheckpointError: The named file, or every file of this run's folder, cannot be continued from.
        """
        wanted, source = self.settings.resume or self.settings.resume_ckpt_path, None
        if wanted == "auto":
            source = resume.first_that_loads(self.checkpoints, self._load_checkpoint)
        elif wanted is not None:
            self._load_checkpoint(wanted)
            source = wanted
        return source

    def _load_checkpoint(self, url_or_filename: str) -> None:
        """Continue from a checkpoint (a file; nothing is downloaded).

        Raises:
            SamCheckpointError: It is torn, damaged or of another model; the message names it.
            SamConfigurationError: This configuration would make another run of it.
        """
        self.progress, self._random = resume.load(
            *(url_or_filename, self.bare_model, self.optimizer, self.scaler, self.training_data),
            config=self.config.to_dict(),
            settings=self.settings,
        )
        self.start_epoch = self.progress.epochs

    def log_stats(self, stats: Mapping[str, Any], split_name: str, **further: Any) -> None:
        """Append a line to `log.jsonl`: event "epoch" for the training split, "evaluation" for others."""
        event = "epoch" if split_name == "train" else "evaluation"
        self.metric_log.write(event, split=split_name, **further, **stats)

    def log_config(self) -> None:
        """Write the resolved configuration to the run's folder."""
        if distributed.is_main_process():
            path = config_path(self.output_dir, evaluate=self.settings.evaluate)
            with writing(path):
                write_text(path, OmegaConf.to_yaml(OmegaConf.create(self.config.to_dict())))
