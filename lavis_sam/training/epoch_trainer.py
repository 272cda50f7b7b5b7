"""The training loop of one epoch: exact means over the global batch, numbers as numbers."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.datasets.guarded import Unusable
from lavis_sam.errors import SamDataError
from lavis_sam.memory import naming_dead_worker, naming_samples, peak_bytes
from lavis_sam.models.batch import to_device
from lavis_sam.models.objectives import LossTerm
from lavis_sam.signals import RunStopped, StopRequest
from lavis_sam.training.checkpoints import Progress
from lavis_sam.training.display import EpochDisplay
from lavis_sam.training.metric_log import MetricLog
from lavis_sam.training.optimisation import apply_gradients
from lavis_sam.training.sharding import forget_batch
from lavis_sam.training.steps import StepReport, TrainOutput
from lavis_sam.training.training_data import TrainingData

logger = logging.getLogger(__name__)


class TrainingTask(Protocol):
    """What the loop needs of a task."""

    def train_output(self, model: nn.Module, samples: Mapping[str, Any]) -> TrainOutput:
        """Return the losses of a batch."""
        ...


@dataclass
class _Window:
    """What one process gathers over the batches of a step.

    Attributes:
        sums: Objective -> its loss, summed over its items.
        counts: Objective -> number of its items.
        gradients: Objective -> gradients of `sums` by parameter; only where there are several objectives, because each
            is divided by its own count, which nobody knows before the last batch.
        latest: Samples of the last batch.
        names: Ids of all samples.
    """

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, list[Tensor | None]] = field(default_factory=dict)
    target_tokens: int = 0
    samples: int = 0
    batches: int = 0
    latest: int = 0
    waited: float = 0.0
    names: list[Any] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)

    def add(self, name: str, term: LossTerm) -> None:
        """Count an objective of a batch."""
        self.sums[name] = self.sums.get(name, 0.0) + float(term.sum.detach())
        self.counts[name] = self.counts.get(name, 0) + int(term.count)
        self.weights[name] = term.weight


@dataclass(frozen=True)
class _Total:
    """The windows of all processes together; attributes as in `_Window`."""

    sums: Mapping[str, float]
    counts: Mapping[str, float]
    weights: Mapping[str, float]
    target_tokens: int
    samples: int
    batches: int
    stops: int
    unusable: int

    @classmethod
    def over_ranks(cls, window: _Window, *, stop: bool) -> "_Total":
        """Exchange the numbers of all processes; every process calls this with the same objectives."""
        names = list(window.sums)
        numbers = [window.target_tokens, window.samples, window.batches, int(stop), len(window.unusable)]
        found = distributed.sum_over_ranks([*window.sums.values(), *window.counts.values(), *numbers])
        sums, counts = (dict(zip(names, found[at : at + len(names)], strict=True)) for at in (0, len(names)))
        return cls(sums, counts, window.weights, *map(int, found[2 * len(names) :]))

    @property
    def means(self) -> dict[str, float]:
        """Each objective's mean over its items, of those that have any."""
        return {name: self.sums[name] / count for name, count in self.counts.items() if count}

    @property
    def loss(self) -> float:
        """The weighted sum of the means; NaN where no objective has an item."""
        means = self.means
        return sum(self.weights[name] * mean for name, mean in means.items()) if means else math.nan

    def factor(self, name: str) -> float:
        """Return what turns an objective's sum into its part of the loss."""
        return self.weights[name] / self.counts[name] if self.counts[name] else 0.0


class EpochTrainer:
    """Runs epochs.

    The loss of a step is the weighted sum of its objectives, each the mean over **all its items of the global batch**
    (target tokens, for the language loss): every batch's summed loss is backpropagated, and the sum over accumulated
    batches and processes is divided by the number of items once. So one process, n processes and accumulation agree,
    and the last, smaller window of an epoch is a step like any other. Several objectives are backpropagated one by one
    in all batches of a step but the last, and their gradients kept apart until all counts are known.

    Before the last backward pass of a step, the processes agree on what it is: its losses, its counts, whether one of
    them was asked to stop. All of them then go on, skip, stop or fail together.
    """

    def __init__(
        self,
        *,
        task: TrainingTask,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        scaler: torch.amp.GradScaler | None,
        settings: RunSettings,
        device: torch.device,
        metric_log: MetricLog,
        progress: Progress | None = None,
        stop: StopRequest | None = None,
        after_step: Callable[[int], None] | None = None,
    ) -> None:
        """Store the parts.

        Args:
            task: Gives the losses of a batch.
            model: The wrapped one under DDP.
            optimizer: Over its trainable parameters.
            scheduler: With LAVIS's `step(cur_epoch, cur_step)`.
            scaler: Of an fp16 model.
            device: Where the batches go.
            metric_log: Where every step is written.
            progress: Of the run; kept up to date.
            stop: Asked in every step, which is done to its end.
            after_step: Called with the epoch after every step that leaves the epoch unfinished.
        """
        self.task, self.model, self.optimizer, self.scheduler = task, model, optimizer, scheduler
        self.scaler, self.settings, self.device, self.metric_log = scaler, settings, device, metric_log
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
            The whole epoch's `loss` (mean of its steps', each weighted by its target tokens), `target_tokens`,
            `samples`, `steps`, `seconds` and `lr` (of the last step).

        Raises:
            SamDataError: A loss or gradient is not finite, or samples cannot be used, more often than the run allows.
            RunStopped: The run was asked to stop; the step is done, and progress and data say where it is.
        """
        sums = self.progress.sums
        size = self.settings.accum_grad_iters
        done = int(sums.get("steps", 0))
        total = -(-len(data) // size) if data.remaining is None else done - (-data.remaining // size)
        with EpochDisplay(epoch, self.settings, total, done=done) as display:
            while data.remaining != 0:
                # Optimizer steps of this epoch so far: also right where a stream's end is not known.
                step = int(sums.get("steps", 0))
                self.scheduler.step(cur_epoch=epoch, cur_step=self._schedule_step(data, step))
                report = self._step(data, min(size, data.remaining or size), f"epoch {epoch} step {step}")
                if report is None:  # a stream has ended on all processes
                    break
                self._count(report)
                self.metric_log.write("train", epoch=epoch, step=self.progress.step, **report.as_dict())
                self.progress.step += 1
                display.show_step(report)
                if self._stop_agreed:
                    raise RunStopped
                if data.remaining != 0:
                    self.after_step(epoch)
        tokens = sums.get("target_tokens", 0.0)
        mean = sums.get("loss", 0.0) / tokens if tokens else math.nan
        return dict(sums) | {"loss": mean, "lr": self.optimizer.param_groups[0]["lr"]}

    def _schedule_step(self, data: TrainingData, done: int) -> int:
        """Return the number of the epoch's step for the schedule, counted from the epoch's end where that is known.

        In an epoch whose batch size changed, fewer or more steps were made than a whole epoch of this size has by here.
        What counts for the schedule is the place in the data: the last step of the run is its last one too.
        """
        if data.remaining is None:
            return done
        size = self.settings.accum_grad_iters
        return -(-len(data) // size) - -(-data.remaining // size)

    def _count(self, report: StepReport) -> None:
        sums = self.progress.sums
        # A skipped step has no loss to speak of.
        tokens = report.target_tokens if math.isfinite(report.loss) else 0
        loss = report.loss * tokens if tokens else 0.0
        further = {"target_tokens": tokens, "samples": report.samples, "steps": 1, "seconds": report.seconds}
        for name, value in {"loss": loss, **further}.items():
            sums[name] = sums.get(name, 0) + value

    def _step(self, data: TrainingData, size: int, place: str) -> StepReport | None:
        """Do one optimizer step over the next `size` batches; None when no process has a batch any more."""
        started = time.perf_counter()
        window = _Window()
        for _ in range(size - 1):
            self._backward(self._forward(data, window, is_last=False), window)
        terms = self._forward(data, window, is_last=True)
        total = _Total.over_ranks(window, stop=self.stop.name is not None)
        self._stop_agreed = total.stops > 0
        self._handle_bad_samples(total.unusable, window, place)
        if total.samples == 0 or not math.isfinite(total.loss):  # no backward pass follows
            forget_batch(self.model)
        if total.batches == 0 and total.unusable == 0:
            return None
        if total.samples == 0:  # no sample of the step was usable: nothing to learn, and not the epoch's end
            self.optimizer.zero_grad()
            return self._report(total, started, window, norm=math.nan)
        if not math.isfinite(total.loss):
            counts = " and ".join(f"{count:.0f}" for count in total.counts.values())
            self._skip(f"a summed loss of {sum(total.sums.values())} over {counts} target tokens", window, place)
            return self._report(total, started, window, norm=math.nan)
        self._last_backward(terms, window, total)
        norm = apply_gradients(
            self.optimizer,
            self.scaler,
            # DDP (and FSDP) has averaged over the processes, so their number brings the sum back.
            factor=distributed.world_size() / (next(iter(total.counts.values())) if len(terms) == 1 else 1),
            max_norm=self.settings.max_grad_norm,
        )
        # A scaler meets such steps while it looks for its scale, and skips them itself; below 1 it has lost its way.
        if not math.isfinite(norm) and (self.scaler is None or self.scaler.get_scale() < 1):
            self._skip(f"a gradient norm of {norm}", window, place)
        return self._report(total, started, window, norm)

    def _forward(self, data: TrainingData, window: _Window, *, is_last: bool) -> dict[str, LossTerm]:
        """Return the next batch's objectives; those of a dummy batch have no items and a loss of 0."""
        asked = time.perf_counter()
        with naming_dead_worker(is_loading=self.settings.num_workers > 0):
            batch = data.next_batch()
        samples = to_device(batch.samples, self.device)
        window.waited += time.perf_counter() - asked
        window.unusable.extend(batch.unusable)
        window.batches += int(batch.counts)
        window.names.extend(samples["sample_id"])
        window.latest = len(samples["sample_id"])
        with self._exchange(is_last=is_last), self._enough_memory(window):
            output = self.task.train_output(self.model, samples)
            terms = output.terms()
        for name, term in terms.items():
            if not batch.counts or not int(term.count):
                # A dummy batch's gradient is exactly zero only if it is never NaN * 0.
                mean = output.loss if len(terms) == 1 else term.sum
                terms[name] = LossTerm(torch.nan_to_num(mean) * 0, 0, term.weight)
            window.add(name, terms[name])
        window.target_tokens += output.target_tokens if batch.counts else 0
        window.samples += len(samples["sample_id"]) if batch.counts else 0
        return terms

    def _backward(self, terms: Mapping[str, LossTerm], window: _Window) -> None:
        """Backpropagate a batch that is not the last of its step."""
        with self._exchange(is_last=False), self._enough_memory(window):
            if len(terms) == 1:
                self._scaled(next(iter(terms.values())).sum).backward()
                return
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            for name, term in terms.items():
                kept = window.gradients.setdefault(name, [None] * len(parameters))
                if not term.sum.requires_grad:
                    continue
                found = torch.autograd.grad(
                    self._scaled(term.sum), parameters, retain_graph=name != list(terms)[-1], allow_unused=True
                )
                for index, gradient in enumerate(found):
                    before = kept[index]
                    if gradient is not None:
                        kept[index] = gradient if before is None else before.add_(gradient)

    def _last_backward(self, terms: Mapping[str, LossTerm], window: _Window, total: _Total) -> None:
        """Backpropagate the last batch of a step, after which DDP exchanges the gradients of all of them."""
        with self._exchange(is_last=True), self._enough_memory(window):
            if len(terms) == 1:
                self._scaled(next(iter(terms.values())).sum).backward()
                return
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            for name, kept in window.gradients.items():
                for parameter, gradient in zip(parameters, kept, strict=True):
                    if gradient is not None:
                        gradient *= total.factor(name)
                        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            self._scaled(torch.stack([total.factor(name) * term.sum for name, term in terms.items()]).sum()).backward()

    def _scaled(self, loss: Tensor) -> Tensor:
        return self.scaler.scale(loss) if self.scaler is not None else loss

    def _exchange(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """Let DDP exchange gradients once a step, with its last batch; a sharded model does so with every batch.

        Gradients that wait would be whole ones, which are what sharding has no room for.
        """
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

    def _report(self, total: _Total, started: float, window: _Window, norm: float) -> StepReport:
        return StepReport(
            loss=total.loss,
            target_tokens=total.target_tokens,
            samples=total.samples,
            lr=self.optimizer.param_groups[0]["lr"],
            grad_norm=norm,
            seconds=time.perf_counter() - started,
            data_seconds=window.waited,
            memory=peak_bytes(self.device),
            losses=total.means if len(total.sums) > 1 else {},
        )

    def _handle_bad_samples(self, count: int, window: _Window, place: str) -> None:
        """Count the samples that no process could use; stop all of them when there are too many."""
        if count == 0:
            return
        unusable = [sample for part in distributed.gather_on_all(window.unusable) for sample in part]
        problems = [sample.problem for sample in unusable]
        self.progress.damaged_samples += sum(sample.tolerated for sample in unusable)
        self.progress.bad_samples += sum(not sample.tolerated for sample in unusable)
        self.metric_log.write("bad_samples", place=place, problems=problems)
        logger.warning("%s: left out %d unusable samples: %s", place, count, "; ".join(problems))
        if self.progress.bad_samples > self.settings.max_bad_samples:
            raise SamDataError(
                f"{place}: " + "; ".join(problems) + f". {self.progress.bad_samples} unusable training samples so far, "
                f"run.max_bad_samples allows {self.settings.max_bad_samples}. Correct the files or raise it, continue "
                "with run.resume=auto."
            )

    def _skip(self, found: str, window: _Window, place: str) -> None:
        """Forget a step that is not finite; stop all processes when there have been too many."""
        self.optimizer.zero_grad()
        self.progress.skipped_steps += 1
        is_fine = all(map(math.isfinite, window.sums.values())) and any(window.counts.values())
        ranks = list(enumerate(distributed.gather_on_all((is_fine, window.names))))
        failing_ranks = [entry for entry in ranks if not entry[1][0]] or ranks
        samples = "; ".join(f"rank {rank} had the samples {list(names)}" for rank, (_, names) in failing_ranks)
        self.metric_log.write("skipped", place=place, found=found, samples=samples)
        message = f"{place}: found {found}, wanted finite ones over at least one token. {samples}. "
        if self.progress.skipped_steps > self.settings.max_nonfinite_steps:
            raise SamDataError(
                message
                + "Look at these samples, lower run.init_lr, set run.max_grad_norm, or use model.precision bf16 "
                f"or fp32. Nothing was updated in this step; run.max_nonfinite_steps allows "
                f"{self.settings.max_nonfinite_steps} of them."
            )
        logger.warning("%sNothing was updated in this step.", message)
