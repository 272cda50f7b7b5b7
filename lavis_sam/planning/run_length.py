"""How long a run will take: its optimizer steps, and their time, given, logged or measured."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.doctor.hardware import free_memory
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.planning.forecast import Load, step_loss
from lavis_sam.run_layout import log_of
from lavis_sam.training.metric_log import read_metric_log

_INITIAL_STD = 0.02
_MEASURED_STEPS = 3
_SECONDS_PER_HOUR = 3600
_GIB = 2**30


@dataclass(frozen=True)
class RunLength:
    """How long a run is.

    Attributes:
        samples: Training samples of an epoch.
        samples_per_step: Over all processes and accumulated batches.
        steps_per_epoch: Optimizer steps of an epoch; the last may be smaller.
        steps: Of the whole run.
        step_seconds: Seconds of one; None if nobody knows.
        hours: Of all steps, without validation, test and starting up.
    """

    samples: int
    samples_per_step: int
    steps_per_epoch: int
    steps: int
    step_seconds: float | None
    hours: float | None


def run_length(samples: int, run: RunSettings, gpus: int, step_seconds: float | None) -> RunLength:
    """Return the length of a run, counted as the training loop does.

    Raises:
        SamConfigurationError: No sample, or a time that is none.
    """
    if samples < 1:
        raise SamConfigurationError(f"plan: samples is {samples}, wanted at least 1")
    if step_seconds is not None and not 0 < step_seconds < float("inf"):
        raise SamConfigurationError(f"plan: a step of {step_seconds} seconds, wanted a number above 0")
    batches = -(-samples // (run.batch_size_train * gpus))
    per_epoch = -(-batches // run.accum_grad_iters)
    steps = per_epoch * run.max_epoch
    return RunLength(
        samples=samples,
        samples_per_step=run.batch_size_train * gpus * run.accum_grad_iters,
        steps_per_epoch=per_epoch,
        steps=steps,
        step_seconds=step_seconds,
        hours=None if step_seconds is None else steps * step_seconds / _SECONDS_PER_HOUR,
    )


def logged_step_seconds(run: Path) -> float:
    """Return the median seconds of a step in the log of a run: its folder or its `log.jsonl`.

    The first step sets things up and is passed over where there are others.

    Raises:
        SamDataError: There is no such file, no timed step in it, or a folder of runs.
    """
    log = log_of(run)
    try:
        events = [event for event in read_metric_log(log) if event["event"] == "train"]
    except OSError as error:
        raise SamDataError(f"{log}: cannot be read ({error.strerror}); wanted the folder of a run.") from error
    times = [event["seconds"] for event in events if isinstance(event.get("seconds"), int | float)]
    if not times:
        raise SamDataError(f"{log}: found no step with its seconds, wanted the log of a run that trained.")
    return statistics.median(times[1:] or times)


def check_memory(needed: int, device: torch.device) -> None:
    """Refuse to measure where a step does not fit.

    Raises:
        SamConfigurationError: The device has less than `needed` bytes free.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    if free is not None and free < needed:
        raise SamConfigurationError(
            f"plan: --measure needs {needed / _GIB:.1f} GiB on {device}, found {free / _GIB:.1f} GiB free; measure "
            "where it fits, or give --step-seconds or --log."
        )


def measured_step_seconds(model: SemanticAlignment, load: Load, device: torch.device) -> float:
    """Return the median seconds of an optimizer step's batches on this machine, forward and backward, one process.

    Args:
        model: As it is planned, on the meta device; it gets random weights, as only the time counts.
        load: Batch, lengths and accumulation.
        device: Where to run it.
    """
    model.to_empty(device=device)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=_INITIAL_STD)
            else:  # with small norms, a deep model's numbers would come down to those that a CPU is slow at
                parameter.fill_(1)
        for buffer in model.buffers():
            buffer.zero_()
    times = []
    for _ in range(1 + _MEASURED_STEPS):  # the first sets things up
        _wait_for(device)
        start = time.perf_counter()
        step_loss(model, load).backward()
        _wait_for(device)
        times.append(time.perf_counter() - start)
        model.zero_grad(set_to_none=True)
    return statistics.median(times[1:]) * load.accumulation


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
