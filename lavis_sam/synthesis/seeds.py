"""Randomness that depends on what is made, and never on who makes it or in which order."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# The golden ratio's fractional part: its multiples fill [0, 1) more evenly than any random numbers.
_GOLDEN = 0.6180339887498949


def generator(*key: int | str) -> np.random.Generator:
    """Return a generator that is a function of `key` alone, the same on every machine.

    Args:
        key: Seed, slot, try, stage, item; equal keys give equal generators, different ones unrelated generators.
    """
    digest = hashlib.sha256(repr(key).encode("utf-8")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Draw one of the options."""
    return options[int(rng.integers(len(options)))]


def even_share(index: int, seed: int) -> float:
    """Return a number in [0, 1) for a place in a sequence; any stretch of the sequence covers [0, 1) evenly.

    Args:
        index: The place, from 0.
    """
    return (index * _GOLDEN + generator(seed, "even share").random()) % 1.0
