"""Where the language model's parts would go, for `model.device_map`; like the room's other files, one kind of check."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lavis_sam.doctor.findings import Finding, Verdict
from lavis_sam.errors import SamError
from lavis_sam.planning.forecast import Load, make_plan, planned_model
from lavis_sam.planning.spread import SpreadOverCards, plan_spread
from lavis_sam.predictor.load_model import read_device
from lavis_sam.weights.device_map import (
    automatic_map,
    check_names,
    describe_map,
    flat_map,
    memory_here,
    read_device_map,
)

AREA = "hardware"
CHECK = "device map"
GB = 1e9


def check_device_map(config: DictConfig, device: str | None, load: Load) -> Iterator[Finding]:
    """Check whether the language model fits on the devices that `model.device_map` means, and on which cards it would.

    Args:
        config: The `model` node.
        device: Where the rest of the model goes.
        load: The sample that is planned for.
    """
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
    try:
        device_map = read_device_map(plain)
        if device_map is None:
            return
        target, model = read_device(device), planned_model(plain)
        if isinstance(device_map, str):
            device_map = automatic_map(model.llm_model, memory_here(model, target))
        check_names(model, device_map, target)
        yield Finding(AREA, CHECK, Verdict.OK, describe_map(flat_map(model.llm_model, device_map)))
    except SamError as error:
        yield Finding(AREA, CHECK, Verdict.FAILURE, str(error), "`lavis-sam plan` says what fits on which cards.")
    cards = plan_spread(plain, make_plan(plain, load))["generation"]
    yield Finding(AREA, "cards", Verdict.NOTE, "generation fits on " + "; ".join(map(in_words, cards)))


def in_words(found: SpreadOverCards) -> str:
    """Return how a model fits on cards of one size, in words."""
    if found.cards == 1:
        return f"1 card of {found.card_gb} GB"
    several = f"{found.cards} cards of {found.card_gb} GB" if found.cards else f"no number of {found.card_gb} GB cards"
    if found.waiting is None:
        return several
    return f"{several}, or 1 with {found.waiting / GB:.1f} GB of the language model in the machine's memory"
