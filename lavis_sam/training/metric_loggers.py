"""TensorBoard and Weights & Biases, by switch; both are optional packages."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.training.metric_log import MetricLogger


def check_metric_loggers(settings: RunSettings) -> None:
    """Find out, before anything is written, whether the run's loggers can be had.

    Raises:
        SamConfigurationError: The package of one is not installed.
    """
    for name, module in (("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")):
        if getattr(settings, name):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise _missing(name, error) from error


def build_metric_loggers(settings: RunSettings, folder: Path, config: Mapping[str, Any]) -> list[MetricLogger]:
    """Return the loggers that the run switches on.

    Raises:
        SamConfigurationError: The package of one is not installed.
    """
    metric_loggers: list[MetricLogger] = []
    try:
        if settings.tensorboard:
            metric_loggers.append(TensorBoard(folder / "tensorboard"))
        if settings.wandb:
            metric_loggers.append(WeightsAndBiases(folder, config))
    except BaseException:
        # Both keep threads, which nobody else would end.
        for metric_logger in metric_loggers:
            metric_logger.close()
        raise
    return metric_loggers


class TensorBoard:
    """Event files below the run's folder: `tensorboard --logdir output`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboard", error) from error
        self._writer = SummaryWriter(str(folder))

    def write(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Write one scalar a value, named `event/value`."""
        for name, value in values.items():
            self._writer.add_scalar(f"{event}/{name}", value, step)

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, in the run's folder; the environment's WANDB_MODE decides whether it is sent."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb", error) from error
        self._run = wandb.init(project="lavis_sam", name=folder.name, dir=str(folder), config=dict(config))

    def write(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Write one point a value, named `event/value`."""
        self._run.log({f"{event}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


def _missing(name: str, error: ImportError) -> SamConfigurationError:
    return SamConfigurationError(
        f"run.{name}: found true, but the package is not installed ({error}). Set it to false or `pip install {name}`; "
        "log.jsonl holds the same numbers, and `lavis-sam plot` draws them."
    )
