"""The training loop of one epoch: exact means over the global batch, numbers as numbers."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.datasets.guarded import Unusable
from lavis_sam.errors import SamDataError
from lavis_sam.memory import naming_samples, peak_bytes
from lavis_sam.models.batch import to_device
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.signals import RunStopped, StopRequest
from lavis_sam.training.checkpoints import Progress
from lavis_sam.training.display import Display
from lavis_sam.training.metric_log import Journal
from lavis_sam.training.optimisation import apply_gradients
from lavis_sam.training.training_data import TrainingData

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
        memory: Peak memory of this process so far, in bytes (of its GPU, where it has one).
    """

    loss: float
    target_tokens: int
    samples: int
    lr: float
    grad_norm: float
    seconds: float
    data_seconds: float
    memory: int


@dataclass
class _Window:
    """What one process gathers over the batches of a step; `latest` is the number of samples of the last one."""

    loss: float = 0.0
    target_tokens: int = 0
    samples: int = 0
    batches: int = 0
    latest: int = 0
    waited: float = 0.0
    names: list[Any] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)


class EpochTrainer:
    """Runs epochs.

    The gradient of a step is that of the mean over **all target tokens of the global batch**: every batch's summed loss
    is backpropagated, and the sum over accumulated batches and processes is divided by the number of tokens once. So
    one process, n processes and accumulation agree, and the last, smaller window of an epoch is a step like any other.

    Before the last backward pass of a step, the processes agree on what it is: its loss, its tokens, whether one of
    them was asked to stop. All of them then go on, skip, stop or fail together.
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
        progress: Progress | None = None,
        stop: StopRequest | None = None,
        after_step: Callable[[int], None] | None = None,
    ) -> None:
        """Take the parts.

        Args:
            task: Gives the loss and its tokens.
            model: The wrapped one under DDP.
            optimizer: Over its trainable parameters.
            scheduler: With LAVIS's `step(cur_epoch, cur_step)`.
            scaler: Of an fp16 model.
            settings: The `run` section.
            device: Where the batches go.
            journal: Where every step is written.
            progress: Of the run; kept up to date.
            stop: Asked after every step.
            after_step: Called with the epoch after every step that leaves the epoch unfinished.
        """
        self.task, self.model, self.optimizer, self.scheduler = task, model, optimizer, scheduler
        self.scaler, self.settings, self.device, self.journal = scaler, settings, device, journal
        self.progress = progress if progress is not None else Progress()
        self.stop = stop or StopRequest()
        self.after_step = after_step or (lambda epoch: None)
        self._stop_agreed = False

    def run(self, epoch: int, data: TrainingData) -> dict[str, float]:
        """Train on every batch that the epoch still has.

        Args:
            epoch: Number of the epoch, from 0.
            data: This process's batches, already started.

        Returns:
            The whole epoch's `loss` (mean over its target tokens), `target_tokens`, `samples`, `steps`, `seconds` and
            `lr` (of the last step).

        Raises:
            SamDataError: A loss or gradient is not finite, or samples cannot be used, more often than the run allows.
            RunStopped: The run was asked to stop; the step is done, and progress and data say where it is.
        """
        sums = self.progress.sums
        size = self.settings.accum_grad_iters
        total = -(-len(data) // size)
        with Display(epoch, self.settings, total, done=int(sums.get("steps", 0))) as display:
            while data.remaining != 0:
                # Optimizer steps of this epoch so far: also right where a stream's end is not known.
                step = int(sums.get("steps", 0))
                self.scheduler.step(cur_epoch=epoch, cur_step=step)
                report = self._step(data, min(size, data.remaining or size), f"epoch {epoch} step {step}")
                if report is None:  # a stream has ended on all processes
                    break
                self._count(report)
                self.journal.write("train", epoch=epoch, step=self.progress.step, **vars(report))
                self.progress.step += 1
                display.show(report)
                if self._stop_agreed:
                    raise RunStopped
                if data.remaining != 0:
                    self.after_step(epoch)
        tokens = sums.get("target_tokens", 0.0)
        mean = sums.get("loss", 0.0) / tokens if tokens else math.nan
        return dict(sums) | {"loss": mean, "lr": self.optimizer.param_groups[0]["lr"]}

    def _count(self, report: StepReport) -> None:
        sums = self.progress.sums
        # A skipped step has no loss to speak of.
        tokens = report.target_tokens if math.isfinite(report.loss) else 0
        loss = report.loss * tokens if tokens else 0.0
        further = {"target_tokens": tokens, "samples": report.samples, "steps": 1, "seconds": report.seconds}
        for name, value in {"loss": loss, **further}.items():
            sums[name] = sums.get(name, 0) + value

    def _step(self, data: TrainingData, size: int, place: str) -> StepReport | None:
        """One optimizer step over the next `size` batches; None when no process has a batch any more."""
        started = time.perf_counter()
        window = _Window()
        total = [0.0] * 6
        for number in range(size):
            is_last = number == size - 1
            summed = self._forward(data, window, is_last=is_last)
            if is_last:
                wishes = [float(self.stop.name is not None), float(len(window.unusable))]
                counts = [window.loss, window.target_tokens, window.samples, window.batches]
                total = distributed.sum_over_ranks([*counts, *wishes])
                self._stop_agreed = total[4] > 0
                self._judge_unusable(int(total[5]), window, place)
                if total[3] == 0:
                    return None
                if not (total[1] > 0 and math.isfinite(total[0])):
                    self._skip(f"a summed loss of {total[0]} over {total[1]:.0f} target tokens", window, place)
                    return self._report(total, started, window, norm=math.nan)
            self._backward(summed, window, is_last=is_last)
        norm = apply_gradients(
            self.optimizer,
            self.scaler,
            # DDP has averaged over the processes, so their number brings the sum back.
            factor=distributed.world_size() / total[1],
            max_norm=self.settings.max_grad_norm,
        )
        # A scaler meets such steps while it looks for its scale, and skips them itself; below 1 it has lost its way.
        if not math.isfinite(norm) and (self.scaler is None or self.scaler.get_scale() < 1):
            self._skip(f"a gradient norm of {norm}", window, place)
        return self._report(total, started, window, norm)

    def _forward(self, data: TrainingData, window: _Window, *, is_last: bool) -> Tensor:
        """The next batch's loss, summed over its target tokens (0 for a stand-in)."""
        asked = time.perf_counter()
        batch = data.next_batch()
        samples = to_device(batch.samples, self.device)
        window.waited += time.perf_counter() - asked
        window.unusable.extend(batch.unusable)
        window.batches += int(batch.counts)
        window.names.extend(samples["sample_id"])
        window.latest = len(samples["sample_id"])
        with self._exchange(is_last=is_last), self._enough_memory(window):
            output = self.task.train_output(self.model, samples)
        weight = output.target_tokens if batch.counts else 0
        # A stand-in's gradient is exactly zero only if it is never NaN * 0.
        summed = output.loss * weight if weight else torch.nan_to_num(output.loss) * 0
        window.loss += float(summed.detach())
        window.target_tokens += weight
        window.samples += len(samples["sample_id"]) if batch.counts else 0
        return summed

    def _backward(self, summed: Tensor, window: _Window, *, is_last: bool) -> None:
        with self._exchange(is_last=is_last), self._enough_memory(window):
            (self.scaler.scale(summed) if self.scaler is not None else summed).backward()

    def _exchange(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """DDP exchanges gradients once a step, with the last batch of a window."""
        if isinstance(self.model, DistributedDataParallel) and not is_last:
            return self.model.no_sync()
        return nullcontext()

    def _enough_memory(self, window: _Window) -> AbstractContextManager[None]:
        """Name the batch when it does not fit."""
        return naming_samples(
            lambda: f"training on the samples {window.names[-window.latest :]}",
            "`lavis-sam plan` says what a batch needs; lower run.batch_size_train (and raise run.accum_grad_iters) or "
            "set model.gradient_checkpointing.",
        )

    def _report(self, total: list[float], started: float, window: _Window, norm: float) -> StepReport:
        return StepReport(
            loss=total[0] / total[1] if total[1] else math.nan,
            target_tokens=int(total[1]),
            samples=int(total[2]),
            lr=self.optimizer.param_groups[0]["lr"],
            grad_norm=norm,
            seconds=time.perf_counter() - started,
            data_seconds=window.waited,
            memory=peak_bytes(self.device),
        )

    def _judge_unusable(self, count: int, window: _Window, place: str) -> None:
        """Count the samples that no process could use; stop all of them when there are too many."""
        if count == 0:
            return
        unusable = [sample for part in distributed.gather_on_all(window.unusable) for sample in part]
        problems = [sample.problem for sample in unusable]
        self.progress.damaged_samples += sum(sample.tolerated for sample in unusable)
        self.progress.bad_samples += sum(not sample.tolerated for sample in unusable)
        self.journal.write("bad_samples", place=place, problems=problems)
        logger.warning("%s: left out %d unusable samples: %s", place, count, "; ".join(problems))
        if self.progress.bad_samples > self.settings.max_bad_samples:
            raise SamDataError(
                f"{place}: " + "; ".join(problems) + f". {self.progress.bad_samples} unusable training samples so far, "
                f"run.max_bad_samples allows {self.settings.max_bad_samples}. Mend the files or raise it, and continue "
                "with run.resume=auto."
            )

    def _skip(self, found: str, window: _Window, place: str) -> None:
        """Forget a step that is not finite; stop all processes when there have been too many."""
        self.optimizer.zero_grad()
        self.progress.skipped_steps += 1
        mine = (math.isfinite(window.loss) and window.target_tokens > 0, window.names)
        parts = list(enumerate(distributed.gather_on_all(mine)))
        guilty = [part for part in parts if not part[1][0]] or parts
        whose = "; ".join(f"rank {rank} had the samples {list(names)}" for rank, (_, names) in guilty)
        self.journal.write("skipped", place=place, found=found, samples=whose)
        message = f"{place}: found {found}, wanted finite ones over at least one token. {whose}. "
        if self.progress.skipped_steps > self.settings.max_nonfinite_steps:
            raise SamDataError(
                message
                + "Look at these samples, lower run.init_lr, set run.max_grad_norm, or use model.precision bf16 "
                f"or fp32. Nothing was updated in this step; run.max_nonfinite_steps allows "
                f"{self.settings.max_nonfinite_steps} of them."
            )
        logger.warning("%sNothing was updated in this step.", message)
