"""The training loop of one epoch: exact means over the global batch, numbers as numbers."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from lavis_sam import distributed
from lavis_sam.errors import SamDataError
from lavis_sam.runners.journal import Journal
from lavis_sam.runners.loaders import GlobalBatchSampler
from lavis_sam.runners.optimisation import apply_gradients
from lavis_sam.runners.settings import RunSettings
from lavis_sam.tasks.multi_image_captioning import MultiImageCaptioningTask, to_device

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepReport:
    """One optimizer step, over all processes and accumulated batches.

    Attributes:
        loss: Mean over all target tokens of the global batch.
        target_tokens: Their number.
        samples: Samples of the global batch.
        lr: Learning rate of the step.
        grad_norm: Total norm of the gradients of `loss`, before clipping.
        seconds: Wall time of the step, `data_seconds` included.
        data_seconds: Wall time that this process waited for data.
    """

    loss: float
    target_tokens: int
    samples: int
    lr: float
    grad_norm: float
    seconds: float
    data_seconds: float


class EpochTrainer:
    """Runs epochs.

    The gradient of a step is that of the mean over **all target tokens of the global batch**: every batch's summed loss
    is backpropagated, and the sum over accumulated batches and processes is divided by the number of tokens once. So
    one process, n processes and accumulation agree, and the last, smaller window of an epoch is a step like any other.
    """

    def __init__(
        self,
        *,
        task: MultiImageCaptioningTask,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        scaler: torch.amp.GradScaler | None,
        settings: RunSettings,
        device: torch.device,
        journal: Journal,
    ) -> None:
        """Take the parts; `model` is the wrapped one under DDP, `scheduler` has LAVIS's `step(cur_epoch, cur_step)`."""
        self.task, self.model, self.optimizer, self.scheduler = task, model, optimizer, scheduler
        self.scaler, self.settings, self.device, self.journal = scaler, settings, device, journal

    def run(self, epoch: int, loader: DataLoader, sampler: GlobalBatchSampler) -> dict[str, float]:
        """Train on every batch of the loader once.

        Args:
            epoch: Number of the epoch, from 0; the loader is already set to it.
            loader: This process's batches.
            sampler: The loader's batch sampler.

        Returns:
            The epoch's `loss` (mean over its target tokens), `target_tokens`, `samples`, `steps`, `lr` (of the last
            step) and `seconds`.

        Raises:
            SamDataError: A loss is not finite.
        """
        windows = accumulation_windows(len(loader), self.settings.accum_grad_iters)
        batches = iter(loader)
        reports: list[StepReport] = []
        for step, window in enumerate(windows):
            self.scheduler.step(cur_epoch=epoch, cur_step=step)
            place = f"epoch {epoch} step {step}"
            report = self._step(batches, window, sampler, place)
            reports.append(report)
            number = epoch * len(windows) + step
            self.journal.write("train", epoch=epoch, step=number, **vars(report))
            if step % self.settings.log_freq == 0 or step == len(windows) - 1:
                logger.info(
                    "epoch %d/%d  step %d/%d  loss %.4f  lr %.2e  %.1f samples/s",
                    *(epoch + 1, self.settings.max_epoch, step + 1, len(windows), report.loss, report.lr),
                    report.samples / max(report.seconds, 1e-9),
                )
        tokens = sum(report.target_tokens for report in reports)
        return {
            "loss": sum(report.loss * report.target_tokens for report in reports) / tokens,
            "target_tokens": tokens,
            "samples": sum(report.samples for report in reports),
            "steps": len(reports),
            "lr": reports[-1].lr,
            "seconds": sum(report.seconds for report in reports),
        }

    def _step(
        self, batches: Iterator[dict[str, Any]], window: range, sampler: GlobalBatchSampler, place: str
    ) -> StepReport:
        """One optimizer step over the batches of a window."""
        started, waited = time.perf_counter(), 0.0
        loss_sum, tokens, count = 0.0, 0, 0
        names: list[Any] = []
        for batch in window:
            asked = time.perf_counter()
            samples = to_device(next(batches), self.device)
            waited += time.perf_counter() - asked
            # A process without a share of the last batch still takes part in DDP's exchange, with a weight of 0.
            counts = sampler.counts(batch)
            with self._exchange(is_last=batch == window[-1]):
                output = self.task.train_output(self.model, samples)
                weight = output.target_tokens if counts else 0
                summed = output.loss * weight
                (self.scaler.scale(summed) if self.scaler is not None else summed).backward()
            loss_sum += float(summed.detach())
            tokens += weight
            count += len(samples["sample_id"]) if counts else 0
            names.extend(samples["sample_id"])
        all_loss, all_tokens, all_count = distributed.sum_over_ranks([loss_sum, tokens, count], self.device)
        self._require_finite(all_loss, all_tokens, place, names)
        norm = apply_gradients(
            self.optimizer,
            self.scaler,
            # DDP has averaged over the processes, so their number brings the sum back.
            factor=distributed.world_size() / all_tokens,
            max_norm=self.settings.max_grad_norm,
        )
        return StepReport(
            loss=all_loss / all_tokens,
            target_tokens=int(all_tokens),
            samples=int(all_count),
            lr=self.optimizer.param_groups[0]["lr"],
            grad_norm=norm,
            seconds=time.perf_counter() - started,
            data_seconds=waited,
        )

    def _exchange(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """DDP exchanges gradients once a step, with the last batch of a window."""
        if isinstance(self.model, DistributedDataParallel) and not is_last:
            return self.model.no_sync()
        return nullcontext()

    def _require_finite(self, loss: float, tokens: float, place: str, names: Sequence[Any]) -> None:
        if tokens > 0 and math.isfinite(loss):
            return
        found = f"a summed loss of {loss} over {tokens:.0f} target tokens"
        raise SamDataError(
            f"{place}: found {found}, wanted a finite loss over at least one token. This process (rank "
            f"{distributed.rank()}) had the samples {list(names)}. Look at these samples, lower run.init_lr, set "
            "run.max_grad_norm, or use model.precision bf16 or fp32. Nothing was updated in this step."
        )


def accumulation_windows(batches: int, size: int) -> list[range]:
    """Batch numbers of each optimizer step of an epoch; the last window takes what is left."""
    return [range(first, min(first + size, batches)) for first in range(0, batches, size)]
