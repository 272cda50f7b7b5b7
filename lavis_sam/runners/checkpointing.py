"""Checkpoints of a run: what was trained, and what continuing needs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lavis_sam.errors import SamCheckpointError
from lavis_sam.models.checkpoints import (
    load_checked,
    load_file,
    save_checkpoint,
    trainable_state_dict,
    trained_checkpoint,
)

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run is, and the best it has seen.

    Attributes:
        epochs: Whole epochs trained.
        best_metric: The highest `agg_metrics` of a validation; None before the first (0 and below are values like any).
        best_epoch: The epoch that reached it.
    """

    epochs: int = 0
    best_metric: float | None = None
    best_epoch: int | None = None


class RunCheckpoints:
    """The checkpoint files of one run's folder: `checkpoint_<epoch>.pth` and `checkpoint_best.pth`."""

    def __init__(self, folder: Path, keep: int) -> None:
        """Name the folder and how many of the last epochs' files stay."""
        self.folder, self.keep = folder, keep

    def path(self, name: int | str) -> Path:
        """File of an epoch, or of "best"."""
        return self.folder / f"checkpoint_{name}.pth"

    def save(
        self,
        name: int | str,
        *,
        model: nn.Module,
        config: Mapping[str, Any],
        progress: Progress,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
    ) -> Path:
        """Write a checkpoint atomically; then drop the epochs' files that are no longer among the last ones.

        Raises:
            SamCheckpointError: The state could not be loaded again.
        """
        path = self.path(name)
        content = trained_checkpoint(
            model,
            config,
            optimizer=optimizer.state_dict(),
            scaler=scaler.state_dict() if scaler is not None else None,
            progress=vars(progress).copy(),
        )
        save_checkpoint(path, content)
        logger.info("checkpoint: %s", path)
        if isinstance(name, int):
            for old in range(name - self.keep, -1, -1):
                if not self.path(old).exists():
                    break
                self.path(old).unlink()
        return path


def load_model(path: str | Path, model: nn.Module) -> None:
    """Load the trained parameters of a checkpoint of this same configuration.

    Raises:
        SamCheckpointError: The file is damaged, or its parameters are not exactly those that this model trains.
    """
    _load_model(path, model, _content(path))


def load_run(
    path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None
) -> Progress:
    """Load everything that continuing needs.

    Returns:
        How far the run was.

    Raises:
        SamCheckpointError: The file is damaged, no checkpoint of a run, or of another configuration.
    """
    content = _content(path)
    missing = [key for key in ("optimizer", "progress") if key not in content]
    if missing:
        raise SamCheckpointError(
            f"{path}: {', '.join(missing)} missing, so this is no checkpoint of a run that can be continued. To start "
            "from its weights, give it as model.finetuned."
        )
    _load_model(path, model, content)
    try:
        optimizer.load_state_dict(content["optimizer"])
        if scaler is not None and content.get("scaler"):
            scaler.load_state_dict(content["scaler"])
        return Progress(**content["progress"])
    except (ValueError, KeyError, TypeError) as error:
        raise SamCheckpointError(
            f"{path}: its optimizer state does not fit this run ({error}). Continue with the configuration that the "
            "checkpoint was made with."
        ) from error


def _content(path: str | Path) -> dict[str, Any]:
    content = load_file(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise SamCheckpointError(f"{path}: found no `model` entry, wanted a checkpoint that runner_sam wrote.")
    return content


def _load_model(path: str | Path, model: nn.Module, content: dict[str, Any]) -> None:
    load_checked(model, content["model"], provides=tuple(trainable_state_dict(model)), source=str(path))
