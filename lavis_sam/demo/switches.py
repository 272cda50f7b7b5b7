"""Turning the switches of a loaded model's guidance, as far as its weights go."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.guidance import CHOICES, Guidance, ResolvedGuidance
from lavis_sam.models.semantic_alignment import SemanticAlignment

SWITCHES = ("context", "normalise", "weighting", "positions")
LAYERS = ("layer_l", "layer_k")


def choices_of(model: SemanticAlignment) -> dict[str, tuple[str, ...]]:
    """Return the values of each switch that need no weights but the model's own; empty where nothing guides.

    The extractor is not among them: each has weights of its own. `layer_l` and `layer_k` may be any 1 <= l <= k <= K.
    """
    if not model.guidance.is_active:
        return {}
    choices = {name: CHOICES[name] for name in SWITCHES}
    if not hasattr(model.adaptive_adjustment, "linear_a"):
        choices["weighting"] = ("average",)
    return choices


def switch(model: SemanticAlignment, values: Mapping[str, str | int]) -> ResolvedGuidance:
    """Return the model's guidance with other values of some switches.

    Raises:
        SamConfigurationError: A value is unknown, the layers are in no order, or the model lacks the weights.
    """
    choices = choices_of(model)
    for name, value in values.items():
        known = choices.get(name, ())
        if name not in LAYERS and value not in known:
            raise SamConfigurationError(
                f"guidance.{name}: found {value!r}, wanted one of {', '.join(known) or 'none'}, for which this model "
                "has weights."
            )
    wanted = {**vars(model.guidance), **values}
    return Guidance(**wanted).at_depth(model.Qformer.bert.num_layers)


def off(model: SemanticAlignment) -> ResolvedGuidance:
    """Return the model's guidance, switched off: each image is seen alone, as InstructBLIP sees it."""
    return replace(model.guidance, extractor="none")


@contextmanager
def guided_by(model: SemanticAlignment, guidance: ResolvedGuidance) -> Iterator[None]:
    """Let a model follow another guidance for a while; nobody else may use it meanwhile."""
    before = model.guidance
    parts: list[Any] = [model, model.adaptive_adjustment, model.extractor] if before.is_active else [model]
    for part in parts:
        part.guidance = guidance
    try:
        yield
    finally:
        for part in parts:
            part.guidance = before
