"""What a training step takes from a task, and what it reports; imports nothing of the loop, so that a display can."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lavis_sam.models.objectives import LossTerm


@dataclass(frozen=True)
class TrainOutput:
    """What one forward pass of a batch gives the training loop.

    Attributes:
        loss: Scalar, the weighted sum of the objectives' means over the batch.
        target_tokens: How many target tokens the batch has.
        losses: Each objective by name; without a table `loss` is the mean over the target tokens.
    """

    loss: Tensor
    target_tokens: int
    losses: Mapping[str, LossTerm] = field(default_factory=dict)

    def terms(self) -> dict[str, LossTerm]:
        """Return the objectives, of which there is at least one.

        A single one is its weighted mean times its count and not its sum: the rounding that logs of old runs have.
        """
        if len(self.losses) > 1:
            return dict(self.losses)
        for name, term in self.losses.items():
            return {name: LossTerm(self.loss * int(term.count), int(term.count))}
        return {"loss": LossTerm(self.loss * self.target_tokens, self.target_tokens)}


@dataclass(frozen=True)
class StepReport:
    """One optimizer step, over all processes and accumulated batches.

    Attributes:
        loss: The weighted sum of the objectives' means; with one objective its mean over the global batch.
        target_tokens: Target tokens of the global batch.
        samples: Samples of the global batch.
        lr: Learning rate of the step.
        grad_norm: Total norm of the gradients of `loss`, before clipping.
        seconds: Wall time of the step, `data_seconds` included.
        data_seconds: Wall time that this process waited for data.
        memory: Peak memory of this process so far, in bytes (of its GPU, where it has one).
        losses: Each objective's own mean over its items of the global batch; empty where there is only one.
    """

    loss: float
    target_tokens: int
    samples: int
    lr: float
    grad_norm: float
    seconds: float
    data_seconds: float
    memory: int
    losses: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return the fields as `log.jsonl` holds them: `losses` only where there is more than one."""
        return {name: value for name, value in vars(self).items() if name != "losses" or value}
