"""What training minimises: a table of objectives, each with its own weight and its own count of items.

`model.objectives` of a config maps their names to weights. Another objective is a function with `@register_objective`
in a module that is imported before the model is built.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from lavis_sam.models.language.sequence import LanguageLoss
    from lavis_sam.models.semantic_alignment import SemanticAlignment
    from lavis_sam.models.visual_path import VisualPath


class LossTerm(NamedTuple):
    """What one objective says of a batch.

    Attributes:
        sum: scalar, the loss summed over its items (target tokens, images, pairs, …).
        count: how many items; 0 when the batch has none. Over ranks and accumulated batches sums and counts are added.
        weight: factor of its mean in the total.
    """

    sum: Tensor
    count: Tensor | int  # type: ignore[assignment]  # of tuple's own `count` nobody has a use here
    weight: float = 1.0


class Objective(Protocol):
    """A loss of a batch."""

    def __call__(self, model: SemanticAlignment, visual: Any, samples: Mapping[str, Any], outputs: Any) -> LossTerm:
        """Return the loss of a batch; its weight comes from the config.

        Args:
            visual: the `VisualPath` of B samples, with its graph; `PatchFeatures` where all objectives are of features.
            outputs: the `LanguageLoss` on the targets, with its logits; None where no objective reads it.
        """
        ...


OBJECTIVES: dict[str, Objective] = {}
DEFAULT = {"language": 1.0}


# Objectives that read patch features and no text. Where a model has no others, its Q-Former and language model rest.
OF_FEATURES: set[str] = set()
# Objectives that read what the Q-Former makes. Where a model has only these and those above, its language model rests.
OF_TOKENS: set[str] = set()


def register_objective(
    name: str, *, of_features: bool = False, of_tokens: bool = False
) -> Callable[[Objective], Objective]:
    """Enter an objective into the table under a name that `model.objectives` may hold.

    Args:
        name: what a config calls it.
        of_features: it reads `visual.features` and the batch alone; `outputs` may be None.
        of_tokens: it reads `visual` and the batch alone; `outputs` may be None.
    """

    def register(objective: Objective) -> Objective:
        OBJECTIVES[name] = objective
        for names, belongs in ((OF_FEATURES, of_features), (OF_TOKENS, of_tokens)):
            (names.add if belongs else names.discard)(name)
        return objective

    return register


@register_objective("language")
def language(
    model: SemanticAlignment, visual: VisualPath, samples: Mapping[str, Any], outputs: LanguageLoss
) -> LossTerm:
    """Return the cross-entropy of the target tokens."""
    return LossTerm(outputs.token_losses.sum(), outputs.target_tokens.sum())


def read_objectives(values: Mapping[Any, Any] | None) -> dict[str, float]:
    """Return the weights of the objectives by name; the language loss alone where a config says nothing.

    Raises:
        SamConfigurationError: an unknown name, or a weight that is no number of at least 0.
    """
    weights = dict(DEFAULT if values is None else values)
    if not weights:
        raise SamConfigurationError("model.objectives is empty; wanted at least one name and its weight")
    for name, weight in weights.items():
        if name not in OBJECTIVES:
            raise SamConfigurationError(unknown_name("objective", name, OBJECTIVES, "model.objectives"))
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not math.isfinite(weight) or weight < 0:
            raise SamConfigurationError(f"model.objectives.{name} is {weight!r}; wanted a weight of at least 0")
    if not any(weights.values()):
        raise SamConfigurationError(f"model.objectives is {weights}; wanted at least one weight above 0")
    return {str(name): float(weight) for name, weight in weights.items()}


def total_loss(terms: Iterable[LossTerm]) -> Tensor:
    """Return the weighted sum of the terms' means, a scalar; a term without items adds nothing."""
    first, *others = [
        term.weight * term.sum / (max(term.count, 1) if isinstance(term.count, int) else term.count.clamp(min=1))
        for term in terms
    ]
    return sum(others, start=first)
