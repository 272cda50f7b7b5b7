"""Colours as functions of a place on a surface.

A paint takes u, v [n] and points [n, 3] in metres and gives linear RGB [n, 3]. The points are those of the finished
surface; patterns on cloth use u and v where they have to move with the body.
"""

from collections.abc import Callable

import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import Array
from lavis_sam.synthesis.procedural.render.noise import ripples

Colour = tuple[int, int, int]  # sRGB, 0-255
Paint = Callable[[Array, Array, Array], Array]


def linear(colour: Colour) -> Array:
    """Return sRGB (0-255) as linear light [3]."""
    share = np.asarray(colour, np.float32) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb(light: Array) -> Array:
    """Return linear light as sRGB in [0, 1], cut off at white."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return a colour between two others; 0 is the first."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def plain(colour: Colour) -> Paint:
    """Return one colour."""
    value = linear(colour)
    return lambda u, v, points: np.broadcast_to(value, points.shape)


def soft_step(values: Array, edge: Array | float, width: float) -> Array:
    """Return 0 below the edge, 1 above it, with a ramp of `width`."""
    share = np.clip((values - edge) / width + 0.5, 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def wood(colour: Colour, *, along: int = 0, seed: int = 0) -> Paint:
    """Return wood with its grain along an axis (0 x, 1 y, 2 z)."""
    value = linear(colour)
    stretch = [0.16, 0.16, 0.16]
    stretch[along] = 2.2
    fine = [0.016, 0.016, 0.016]
    fine[along] = 0.9

    def paint(u: Array, v: Array, points: Array) -> Array:
        rings = np.sin(4 * ripples(points, tuple(stretch), seed))  # type: ignore[arg-type]
        grain = ripples(points, tuple(fine), seed + 7)  # type: ignore[arg-type]
        return value * (1 + 0.10 * rings + 0.10 * grain)[:, None]

    return paint


def woven(colour: Colour, *, seed: int = 0) -> Paint:
    """Return upholstery: a fine weave and soft blotches."""
    value = linear(colour)

    def paint(u: Array, v: Array, points: Array) -> Array:
        shade = 1 + 0.05 * ripples(points, 0.020, seed) + 0.06 * ripples(points, 0.5, seed + 3)
        return value * shade[:, None]

    return paint
