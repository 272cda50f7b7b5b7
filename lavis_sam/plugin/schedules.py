"""Learning-rate schedules, in LAVIS's form."""

import math
from typing import Any

from lavis.common.registry import registry
from torch.optim import Optimizer

from lavis_sam.errors import SamConfigurationError


@registry.register_lr_scheduler("linear_warmup_cosine_step_lr")
class LinearWarmupCosineStepLRScheduler:
    """Linear warm-up over the first steps, then half a cosine down to the minimum at the very last step.

    Both count optimizer steps over the whole run. (LAVIS's `linear_warmup_cosine_lr` warms up within epoch 0 only,
    jumps at its end, decays once an epoch and never reaches the minimum.)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_epoch: int,
        min_lr: float,
        init_lr: float,
        steps_per_epoch: int | None = None,
        warmup_steps: int = 0,
        warmup_start_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Take LAVIS's arguments and the number of steps.

        Args:
            optimizer: Whose parameter groups get the rate.
            max_epoch: Epochs of the run.
            min_lr: The rate of the last step.
            init_lr: The rate at the end of the warm-up.
            steps_per_epoch: Optimizer steps of an epoch.
            warmup_steps: Steps of the warm-up, not always whole in a run that was continued; step 0 has
                the start rate, step `warmup_steps` the full one.
            warmup_start_lr: The start rate; negative (LAVIS's default) means 0.
            kwargs: LAVIS's arguments that other schedules use.

        Raises:
            SamConfigurationError: `steps_per_epoch` is missing: LAVIS's own runners do not give it.
        """
        if steps_per_epoch is None:
            raise SamConfigurationError(
                "linear_warmup_cosine_step_lr: steps_per_epoch is missing; `run.runner: runner_sam` gives it."
            )
        self.optimizer = optimizer
        self.min_lr, self.init_lr, self.warmup_start_lr = min_lr, init_lr, max(0.0, warmup_start_lr)
        self.steps_per_epoch, self.warmup_steps = steps_per_epoch, warmup_steps
        self.total_steps = max_epoch * steps_per_epoch

    def rate(self, step: int) -> float:
        """Return the learning rate of optimizer step `step` (from 0) of the run."""
        if step < self.warmup_steps:
            return self.warmup_start_lr + (self.init_lr - self.warmup_start_lr) * step / self.warmup_steps
        decay_steps = self.total_steps - 1 - self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / decay_steps) if decay_steps > 0 else 0.0
        return self.min_lr + (self.init_lr - self.min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))

    def step(self, cur_epoch: int, cur_step: int) -> None:
        """Set the rate for step `cur_step` of epoch `cur_epoch`, before the optimizer's own step."""
        rate = self.rate(cur_epoch * self.steps_per_epoch + cur_step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
