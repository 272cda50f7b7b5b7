"""Checkpoints of a run: what was trained, and everything that resuming exactly needs."""

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lavis_sam import run_layout
from lavis_sam.distributed import share_of
from lavis_sam.errors import SamCheckpointError
from lavis_sam.files import atomic_path
from lavis_sam.memory import is_dead_worker
from lavis_sam.run_layout import ASIDE_FOLDER
from lavis_sam.weights.checkpoint_files import load_file
from lavis_sam.weights.checkpoints import load_checked, save_checkpoint, trainable_state_dict, trained_checkpoint

logger = logging.getLogger(__name__)

_NEEDED = ("optimizer", "progress")
_NOT_YET_KNOWN = ("best_metric", "best_epoch", "warmup_samples")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's, of each parameter


@dataclass
class Progress:
    """How far a run is, and the best it has seen.

    Attributes:
        epochs: Whole epochs trained.
        validated: Whole epochs validated.
        step: Optimizer steps of the run so far, skipped ones included.
        skipped_steps: Steps without a finite loss or gradient, which changed nothing.
        bad_samples: Training samples left out because of their files; run.max_bad_samples limits them.
        damaged_samples: Samples of shards left out because they are damaged; nothing limits them.
        best_metric: The highest `agg_metrics` of a validation; None before the first (0 is a value like any).
        best_epoch: The epoch that reached it.
        sums: Of the epoch under way: `loss` (summed over target tokens), `target_tokens`, `samples`, `steps`,
            `seconds`.
        warmup_samples: Samples that the learning rate's warm-up goes over; None before the first step. The run began
            with `run.warmup_steps` of the size that its steps had then.
    """

    epochs: int = 0
    validated: int = 0
    step: int = 0
    skipped_steps: int = 0
    bad_samples: int = 0
    damaged_samples: int = 0
    best_metric: float | None = None
    best_epoch: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    warmup_samples: int | None = None


@dataclass(frozen=True)
class RunState:
    """What a checkpoint gives back besides what it puts into model, optimizer and scaler.

    Attributes:
        progress: How far the run was.
        data: Each process's place in the training data.
        random: Each process's random generators (see `resume.capture_rng_state`).
        fingerprints: `data`, `base` and `fixed_crops`, as in `resume_checks.RunDescription`; older files lack some.
        config: The run's resolved configuration; `RunCheckpoints.save` gets it by itself.
    """

    progress: Progress
    data: Sequence[Mapping[str, Any]] = ()
    random: Sequence[dict[str, Any]] = ()
    fingerprints: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


class RunCheckpoints:
    """The checkpoint files of one run's folder.

    `checkpoint_<epoch>.pth` after an epoch, `checkpoint_<epoch>_step<n>.pth` within one, after n steps of the run, and
    `checkpoint_best.pth`.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        """Name the folder and how many of the last files stay."""
        self.folder, self.keep = folder, keep

    def path(self, name: int | str) -> Path:
        """Return the file of an epoch, of "best", or of "<epoch>_step<n>"."""
        return self.folder / f"checkpoint_{name}.pth"

    def newest_first(self) -> list[Path]:
        """Return all files but the best, whole or not, the one that got farthest first."""
        return run_layout.newest_first(self.folder)

    def abandoned(self, progress: Progress, source: Path) -> list[Path]:
        """Return the files that a run leaves behind which continues from `source`: later ones, and another best.

        The order is that in which they can be set aside: until all are, `run.resume=auto` takes the last or `source`.
        """
        found = run_layout.beyond(self.folder, epochs=progress.epochs, step=progress.step)
        found = [path for path in found if path.resolve() != source.resolve()]
        best = self.path("best")
        try:
            is_other = best.is_file() and read_run(best).progress.best_epoch != progress.best_epoch
        except SamCheckpointError:  # whoever needs the best says what is wrong with it
            is_other = False
        return [*found, best] if is_other else found

    def set_aside(self, paths: Sequence[Path]) -> None:
        """Move files of the folder into a new folder below it, which nothing reads by itself."""
        numbers = [int(path.name) for path in (self.folder / ASIDE_FOLDER).glob("*") if path.name.isdecimal()]
        folder = self.folder / ASIDE_FOLDER / str(max(numbers, default=0) + 1)
        folder.mkdir(parents=True)
        for path in paths:
            path.rename(folder / path.name)
        names = ", ".join(path.name for path in paths)
        logger.warning("set aside in %s, as the run goes on from before them: %s", folder, names)

    def restore_best(self, progress: Progress, source: Path) -> None:
        """Where the best file is gone, make it of `source` if that is the best epoch's; otherwise forget that best."""
        best = self.path("best")
        if progress.best_epoch is None or best.is_file():
            return
        if progress.best_epoch == progress.epochs - 1 and not progress.sums:
            with atomic_path(best) as path:
                shutil.copyfile(source, path)
            return
        logger.warning("the file of the best epoch, %d, is gone; the next validation is the best", progress.best_epoch)
        progress.best_metric = progress.best_epoch = None

    def save(
        self,
        name: int | str,
        *,
        model: nn.Module | Mapping[str, Any],
        config: Mapping[str, Any],
        state: RunState,
        optimizer: torch.optim.Optimizer | Mapping[str, Any],
        scaler: torch.amp.GradScaler | None,
        scheduler: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write a checkpoint atomically; then drop the files that are no longer among the last ones.

        A model and an optimizer that are sharded come as what `sharding.gathered_state` made of them.

        Raises:
            SamCheckpointError: The state could not be loaded again, or the disk is full or read-only; the files that
                were there still are.
        """
        path = self.path(name)
        content = trained_checkpoint(
            model,
            config,
            optimizer=optimizer.state_dict() if isinstance(optimizer, torch.optim.Optimizer) else optimizer,
            scaler=scaler.state_dict() if scaler is not None else None,
            scheduler=dict(scheduler or {}),
            progress=vars(state.progress).copy(),
            data=list(state.data),
            random=list(state.random),
            fingerprints=dict(state.fingerprints),
        )
        try:
            save_checkpoint(path, content)
        except (OSError, RuntimeError) as error:
            if isinstance(error, SamCheckpointError) or is_dead_worker(error):
                raise
            # torch's writer reports a full disk as a RuntimeError of its own.
            raise SamCheckpointError(
                f"{path}: the checkpoint cannot be written ({error}). Earlier ones are as they were; make room or name "
                "another run.output_dir, and continue with run.resume=auto."
            ) from error
        logger.info("checkpoint: %s", path)
        if name != "best":
            for old in self.newest_first()[self.keep :]:
                if old != path:
                    old.unlink()
        return path

    def remove_leftovers(self) -> None:
        """Remove the unfinished files of a run that was killed while it wrote."""
        for path in self.folder.glob(".checkpoint_*.tmp"):
            path.unlink(missing_ok=True)


def load_model(path: str | Path, model: nn.Module) -> None:
    """Load the trained parameters of a checkpoint of this same configuration.

    Raises:
        SamCheckpointError: The file is damaged, or its parameters are not exactly those that this model trains.
    """
    _load_model(path, model, _content(path))


def read_run(path: str | Path) -> RunState:
    """Read what a checkpoint says of its run; no model or optimizer is needed.

    Raises:
        SamCheckpointError: The file is damaged or no checkpoint of a run.
    """
    return _run_state(path, _run_content(path))


def load_run(
    path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None
) -> RunState:
    """Load everything that resuming needs, or nothing.

    Returns:
        How far the run was, and the states that other parts restore.

    Raises:
        SamCheckpointError: The file is damaged, no checkpoint of a run, or of another configuration.
    """
    content = _run_content(path)
    state = _run_state(path, content)
    try:
        _check_optimizer(optimizer, content["optimizer"])
        if scaler is not None and content.get("scaler"):
            _check_scaler(scaler, content["scaler"])
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise SamCheckpointError(
            f"{path}: its optimizer state does not fit this run ({error}). Continue with the configuration that the "
            "checkpoint was made with."
        ) from error
    _load_model(path, model, content)
    # The groups' settings stay this run's own: they are the checkpoint's too, or were changed on purpose.
    settings = [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in optimizer.param_groups]
    # Copies: the file's own tensors are mapped from the disk.
    optimizer.load_state_dict(_shares(_copied(content["optimizer"]), optimizer))
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
    if scaler is not None and content.get("scaler"):
        scaler.load_state_dict(content["scaler"])
    return state


def _shares(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the same state, its moments sharded as their parameters are."""
    names = [name for group in state["param_groups"] for name in group["params"]]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, parameter in zip(names, parameters, strict=True):
        for key, value in state["state"].get(name, {}).items():
            state["state"][name][key] = share_of(value, parameter)
    return state


def _run_state(path: str | Path, content: Mapping[str, Any]) -> RunState:
    try:
        progress = Progress(**content["progress"])
        _check_progress(progress)
    except (TypeError, ValueError) as error:
        raise SamCheckpointError(f"{path}: its progress is damaged ({error}); use an earlier checkpoint.") from error
    found: dict[str, Any] = {"data": [], "random": [], "fingerprints": {}, "config": {}}
    for name, default in found.items():
        value = content.get(name, default)
        if not isinstance(value, type(default)):
            raise SamCheckpointError(f"{path}: {name}: found {type(value).__name__}; use an earlier checkpoint.")
        found[name] = value
    if not all(isinstance(place, dict) for place in found["data"]):
        raise SamCheckpointError(f"{path}: data: found no place in the training data; use an earlier checkpoint.")
    return RunState(progress, found["data"], _copied(found["random"]), found["fingerprints"], found["config"])


def _check_progress(progress: Progress) -> None:
    """Raise a TypeError if a count or a sum is no number; what is not known yet is None."""
    counts = [(name, value) for name, value in vars(progress).items() if name != "sums"]
    for name, value in (*counts, *dict(progress.sums).items()):
        if not isinstance(value, int | float) and not (value is None and name in _NOT_YET_KNOWN):
            raise TypeError(f"{name} is a {type(value).__name__}")


def _run_content(path: str | Path) -> dict[str, Any]:
    content = _content(path)
    missing = [key for key in _NEEDED if key not in content]
    if missing:
        raise SamCheckpointError(
            f"{path}: {', '.join(missing)} missing, so this is no checkpoint of a run that can be continued. To start "
            "from its weights, give it as model.finetuned."
        )
    return content


def _content(path: str | Path) -> dict[str, Any]:
    content = load_file(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise SamCheckpointError(f"{path}: found no `model` entry, wanted a checkpoint that runner_sam wrote.")
    return content


def _load_model(path: str | Path, model: nn.Module, content: dict[str, Any]) -> None:
    load_checked(model, content["model"], provides=tuple(trainable_state_dict(model)), source=str(path))


def _check_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Raise a ValueError if the state's groups or moments have other sizes than the optimizer's parameters."""
    groups, parameters = state["param_groups"], [p for group in optimizer.param_groups for p in group["params"]]
    found = [len(group["params"]) for group in groups]
    wanted = [len(group["params"]) for group in optimizer.param_groups]
    if found != wanted:
        raise ValueError(f"found groups of {found} parameters, wanted {wanted}")
    if not all(_is_number(group["lr"]) for group in groups):
        raise ValueError("found a learning rate that is no number")
    names = [name for group in groups for name in group["params"]]
    if not isinstance(state["state"], dict) or not all(isinstance(one, dict) for one in state["state"].values()):
        raise ValueError("found no state of each parameter")
    for name, parameter in zip(names, parameters, strict=True):
        moments = state["state"].get(name, {})
        for key in _MOMENTS if moments else ():
            _check_moment(moments[key], parameter if key != "step" else torch.tensor(0.0))


def _check_moment(moment: Any, like: torch.Tensor) -> None:
    if isinstance(moment, int | float):
        moment = torch.tensor(float(moment))
    if not isinstance(moment, torch.Tensor) or moment.layout != torch.strided or moment.is_meta:
        raise ValueError(f"found a moment of the type {type(moment).__name__}, wanted a tensor with numbers")
    if moment.shape != like.shape:
        raise ValueError(f"found a moment of shape {list(moment.shape)}, wanted {list(like.shape)}")
    if moment.is_complex() or not moment.isfinite().all():
        raise ValueError("found a moment with numbers that are NaN or infinite")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_scaler(scaler: torch.amp.GradScaler, state: Any) -> None:
    """Raise a ValueError if the state is not that of a scaler."""
    wanted = scaler.state_dict().keys()
    if not isinstance(state, dict) or state.keys() != wanted or not all(map(_is_number, state.values())):
        raise ValueError(f"found no state of a loss scaler, wanted the numbers {', '.join(wanted)}")


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, list | tuple) else value
