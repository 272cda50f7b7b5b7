"""Colours by name, and which of them are kept for evaluation."""

import hashlib
from collections.abc import Sequence

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.render.paint import Colour

SPLITS = ("train", "held_out", "all")
COLOURS: dict[str, Colour] = {
    "red": (204, 46, 50),
    "orange": (236, 126, 40),
    "yellow": (244, 202, 64),
    "green": (56, 148, 84),
    "teal": (22, 132, 134),
    "blue": (52, 106, 200),
    "navy": (36, 50, 108),
    "purple": (126, 74, 170),
    "lavender": (184, 166, 222),
    "pink": (240, 148, 178),
    "maroon": (122, 32, 50),
    "brown": (128, 84, 54),
    "beige": (220, 198, 162),
    "olive": (122, 124, 62),
    "white": (240, 240, 238),
    "grey": (146, 150, 156),
    "black": (46, 46, 52),
}

# One pairing of an object and a colour in so many is kept for evaluation.
_HELD_OUT_EVERY = 5


def is_held_out(name: str, colour: str) -> bool:
    """Return whether a pairing ("dress", "teal") is for evaluation: both words occur in training, never together."""
    digest = hashlib.sha256(f"{name}/{colour}".encode()).digest()
    return digest[0] % _HELD_OUT_EVERY == 0


def choices(name: str, colours: Sequence[str], split: str) -> list[str]:
    """Return the colours that an object may have in a split; never empty.

    Args:
        name: "dress".
        split: "train", "held_out" or "all".
    """
    check_split(split)
    held_out = [colour for colour in colours if is_held_out(name, colour)]
    if not held_out:
        # Every object gives at least one pairing to evaluation, so that each split can dress a figure by itself.
        held_out = [min(colours, key=lambda colour: hashlib.sha256(f"{name}/{colour}".encode()).digest())]
    if split == "all":
        return list(colours)
    if split == "held_out":
        return held_out
    return [colour for colour in colours if colour not in held_out] or list(colours)


def check_split(split: str) -> None:
    """Complain about an unknown split.

    Raises:
        SamConfigurationError: It is none of `SPLITS`.
    """
    if split not in SPLITS:
        raise SamConfigurationError(unknown_name("split", split, SPLITS, "split"))
