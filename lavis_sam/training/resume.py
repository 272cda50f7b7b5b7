"""Saving and resuming a run, all its processes together: rank 0 writes, and errors are raised on every rank.

A place in map-style data is a number of samples, so a run continues within an epoch with another batch size or number
of processes; a stream, and bucketed batches, do so between two epochs. The learning rate follows the samples as well:
warm-up and decay go on from where they were, to within a step, and the decay ends with the last step. (Counted in
optimizer steps, a warm-up that was over would begin again when steps become larger, and the decay would jump.)
"""

import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamError
from lavis_sam.training.checkpoints import Progress, RunCheckpoints, RunState, load_run, read_run
from lavis_sam.training.metric_log import MetricLog, writing
from lavis_sam.training.resume_checks import RunDescription, check_changes
from lavis_sam.training.sharding import gathered_state, is_sharded
from lavis_sam.training.training_data import TrainingData
from lavis_sam.weights.fingerprints import fingerprint

logger = logging.getLogger(__name__)


def save(
    checkpoints: RunCheckpoints,
    name: int | str,
    *,
    model: nn.Module,
    config: Mapping[str, Any],
    progress: Progress,
    data: TrainingData,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    schedule: str,
) -> None:
    """Write a checkpoint: rank 0 writes what all processes tell it; they wait until the file is whole.

    Raises:
        SamCheckpointError: It cannot be written; on every process.
    """
    parts, problem = distributed.gather_on_main((data.state_dict(), capture_rng_state())), None
    tensors: Any = (model, optimizer)
    if is_sharded(model):
        tensors = gathered_state(model, optimizer, keep=parts is not None)
    if parts is not None:
        try:
            checkpoints.save(
                name,
                model=tensors[0],
                config=config,
                state=RunState(
                    progress,
                    [place for place, _ in parts],
                    [states for _, states in parts],
                    {"data": data.fingerprints, "base": fingerprint(model), "fixed_crops": True},
                ),
                optimizer=tensors[1],
                scaler=scaler,
                scheduler={"name": schedule, "lr": [group["lr"] for group in optimizer.param_groups]},
            )
        except SamCheckpointError as error:
            problem = error
    _raise_everywhere(problem)


def load(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    data: TrainingData,
    *,
    config: Mapping[str, Any],
    settings: RunSettings,
) -> tuple[Progress, dict[str, Any] | None]:
    """Put a run back to where a checkpoint left it, if it is still the same run (see `resume_checks`).

    Returns:
        Its progress, and the random states of this process (None if the run had another number of processes).

    Raises:
        SamCheckpointError: The file is torn, damaged or of another model; the message names it.
        SamConfigurationError: This configuration would make another run of it, or cannot continue from this place in
            the data. An earlier checkpoint does not help, so `first_that_loads` lets this error pass.
    """
    now = RunDescription(
        config,
        samples_per_step=data.global_batch * settings.accum_grad_iters,
        processes=distributed.world_size(),
    )
    problem = None
    if distributed.is_main_process():
        try:
            now = replace(now, data=data.fingerprints, base=fingerprint(model))
            check_changes(_described(read_run(path)), now, str(path), allowed=settings.resume_with_changes)
        except SamError as error:
            problem = error
    _raise_everywhere(problem)
    state = load_run(path, model, optimizer, scaler)
    rank, ranks = distributed.rank(), distributed.world_size()
    # Without sums the run stands between two epochs, and whoever continues it may have other processes and data.
    if state.data and state.progress.sums:
        try:
            data.load_state_dict(state.data[rank if len(state.data) == ranks else 0])
        except SamCheckpointError as error:
            raise SamConfigurationError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise SamCheckpointError(f"{path}: its place in the training data is damaged ({error}).") from error
    progress = state.progress
    _follow_samples(progress, _described(state), now, settings)
    logger.info("resuming after step %d (%d whole epochs) of %s", progress.step, progress.epochs, path)
    return progress, state.random[rank] if len(state.random) == ranks else None


def first_that_loads(checkpoints: RunCheckpoints, load_one: Callable[[str], None]) -> str | None:
    """Load the newest checkpoint of a folder that is whole and fits, passing over those that are not.

    Args:
        load_one: Loads a file or raises a SamCheckpointError.

    Returns:
        Its path; None if the folder has no checkpoint.

    Raises:
        SamCheckpointError: There are checkpoints, and none can be used; all are named with the reason.
    """
    found = distributed.from_main([str(path) for path in checkpoints.newest_first()])
    refused: list[str] = []
    for path in found:
        try:
            load_one(path)
        except SamCheckpointError as error:
            refused.append(str(error))
            logger.warning("refused: %s", error)
        else:
            return path
    if refused:
        raise SamCheckpointError(
            "run.resume=auto: none of the checkpoints here can be continued from. Move them away, or name another "
            "run.job_id.\n" + "\n".join(refused)
        )
    return None


def abandon_later(checkpoints: RunCheckpoints, source: str | Path, progress: Progress, metric_log: MetricLog) -> None:
    """Set aside what a run's folder holds from beyond the checkpoint that the run goes on from, and another best.

    Otherwise the next `run.resume=auto` would go on from there, and the end would evaluate a best that this run never
    reached. The progress forgets a best whose file is gone.

    Raises:
        SamConfigurationError: The folder cannot be written; on every process.
    """
    problem = None
    if distributed.is_main_process():
        try:
            with writing(checkpoints.folder):
                if paths := checkpoints.abandoned(progress, Path(source)):
                    # Before the files move: whoever is killed in between leaves a log that explains the folder.
                    metric_log.write("set_aside", step=progress.step, checkpoints=[path.name for path in paths])
                    checkpoints.set_aside(paths)
                checkpoints.restore_best(progress, Path(source))
        except SamError as error:
            problem = error
    _raise_everywhere(problem)
    progress.best_metric, progress.best_epoch = distributed.from_main((progress.best_metric, progress.best_epoch))


def _described(state: RunState) -> RunDescription:
    """Return what a checkpoint says of its run; None for what it does not say."""
    place, run = state.data[0] if state.data else {}, state.config.get("run")
    sizes = [place.get(key, 1) for key in ("global_batch", "batch_size", "world_size")] if place else []
    sizes.append(run.get("accum_grad_iters", 1) if isinstance(run, Mapping) else None)
    known = len(sizes) > 1 and all(isinstance(size, int) for size in sizes)
    data, base = (state.fingerprints.get(name) for name in ("data", "base"))
    return RunDescription(
        state.config,
        data if isinstance(data, list) else None,
        base if isinstance(base, dict) else None,
        math.prod(sizes) if known else None,
        len(state.data) or None,
        fixed_crops=state.fingerprints.get("fixed_crops") is True,
    )


def warmup_steps(progress: Progress, data: TrainingData, settings: RunSettings) -> float:
    """Return the learning rate's warm-up in steps of this run's size; before the first step, note it in `progress`."""
    samples = data.global_batch * settings.accum_grad_iters
    if progress.warmup_samples is None:
        progress.warmup_samples = settings.warmup_steps * samples
    return progress.warmup_samples / samples


def _follow_samples(progress: Progress, then: RunDescription, now: RunDescription, settings: RunSettings) -> None:
    """Let the learning rate's warm-up go over as many samples as it did before; see the module."""
    run = then.config.get("run")
    if isinstance(run, Mapping) and run.get("warmup_steps", 0) != settings.warmup_steps:
        progress.warmup_samples = None  # changed on purpose: it counts from the run's beginning in steps of this size
    elif progress.warmup_samples is None and then.samples_per_step is not None:
        progress.warmup_samples = settings.warmup_steps * then.samples_per_step
    if then.samples_per_step not in (None, now.samples_per_step):
        logger.info(
            "a step has %s samples, and had %s: the epoch goes on at the sample where it was, and the learning rate "
            "follows the samples: warm-up and decay go on, and the decay ends with the last step",
            now.samples_per_step,
            then.samples_per_step,
        )


def _raise_everywhere(problem: SamError | None) -> None:
    problem = distributed.from_main(problem)
    if problem is not None:
        raise problem


def capture_rng_state() -> dict[str, Any]:
    """Return the states of Python's, numpy's, torch's and the GPU's generator (if any), in plain containers."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


@contextmanager
def keep_rng_state() -> Iterator[None]:
    """Leave the generators as they were before the block, however much it draws.

    A validation that is continued draws less than a whole one: it keeps the answers that it has. Training must not
    notice the difference.
    """
    state = capture_rng_state()
    try:
        yield
    finally:
        restore_rng_state(state)


def restore_rng_state(state: dict[str, Any]) -> None:
    """Put every generator back to where `capture_rng_state` met it.

    Raises:
        ValueError, TypeError, KeyError, RuntimeError: `state` is not what `capture_rng_state` gives.
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
