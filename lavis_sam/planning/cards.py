"""Which GPUs a plan fits on."""

from collections.abc import Mapping
from typing import Any

# By their names: a card of 24 GB offers 22.4 to 24 GiB, so that a GB is counted as 10^9 bytes.
CARD_GB = (24, 40, 80)
# CUDA's context and what the allocator cannot use for want of whole blocks.
MARGIN = 1.1
_GB = 10**9


def fitting_cards(memory: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return "training" and "generation" -> the sizes of cards, in GB, that each fits on with a margin of a tenth.

    Args:
        memory: Of a `Plan`.
    """
    return {use: [gb for gb in CARD_GB if memory[use] * MARGIN <= gb * _GB] for use in ("training", "generation")}
