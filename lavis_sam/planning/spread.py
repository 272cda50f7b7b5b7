"""What `model.device_map` makes of a plan: how many cards hold the model, and what waits in memory beside one.

Counted so that what fits here fits there: activations (or the KV cache) are counted whole for each card, although each
card has those of its own layers alone; gradients and AdamW's moments are the first card's. A layer that waits is on the
card for the time of its products, so room for the largest one is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lavis_sam.planning.cards import CARD_GB, MARGIN
from lavis_sam.planning.forecast import Plan, planned_model

_GB = 10**9


@dataclass(frozen=True)
class SpreadOverCards:
    """How a model fits on cards of one size.

    Attributes:
        card_gb: Their size.
        cards: How many hold it; None where the first cannot hold what is not the language model, or none a layer.
        waiting: Bytes of the language model that wait in the machine's memory when there is one card; None where it is
            too small even so, or where all weights would come back for the backward pass.
    """

    card_gb: int
    cards: int | None
    waiting: int | None


def plan_spread(model_cfg: Mapping[str, Any], plan: Plan) -> dict[str, list[SpreadOverCards]]:
    """Return "training" and "generation" -> how the model of a config fits on cards of each size.

    Args:
        model_cfg: The `model` node, as plain containers.
        plan: What `make_plan` made of it.
    """
    units = list(_units(planned_model(model_cfg).llm_model))
    memory = plan.memory
    rest = sum(size for part, size in memory["weights"].items() if part != "language")
    trained = memory["gradients"] + memory["optimizer"]
    can_wait = bool(model_cfg.get("gradient_checkpointing"))
    return {
        "training": [spread(units, rest + trained, memory["activations"], gb, can_wait=can_wait) for gb in CARD_GB],
        "generation": [spread(units, rest, memory["kv_cache"], gb, can_wait=True) for gb in CARD_GB],
    }


def _units(llm_model: Any) -> Iterator[int]:
    """Yield the bytes of what stays together on a device: embedding, each layer, and what comes after them."""
    layers = list(llm_model.base_model.layers)
    yield llm_model.get_input_embeddings().weight.nbytes
    for layer in layers:
        yield sum(parameter.nbytes for parameter in layer.parameters())
    known = {id(parameter) for layer in layers for parameter in layer.parameters()}
    known.add(id(llm_model.get_input_embeddings().weight))
    yield sum(parameter.nbytes for parameter in llm_model.parameters() if id(parameter) not in known)


def spread(units: Sequence[int], rest: int, beside: int, card_gb: int, *, can_wait: bool) -> SpreadOverCards:
    """Fit a model on cards of one size.

    Args:
        units: Bytes of the language model's parts that cannot be split, in order.
        rest: Bytes that are the first card's alone.
        beside: Bytes that every card needs beside weights.
        card_gb: The cards' size in GB.
        can_wait: Whether parts may wait in the machine's memory.
    """
    room = int(card_gb * _GB / MARGIN) - beside
    cards: int | None = 1
    free = room - rest
    if free < 0 or max(units) > room:
        cards = None
    for unit in units if cards else ():
        if unit > free:
            cards, free = (cards or 0) + 1, room
        free -= unit
    kept, free = 0, room - rest - max(units)
    waiting = None
    if cards == 1:
        waiting = 0
    elif can_wait and free >= 0:
        for unit in units:
            if kept + unit > free:
                break
            kept += unit
        waiting = sum(units) - kept
    return SpreadOverCards(card_gb, cards, waiting)
