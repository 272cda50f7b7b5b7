"""Cloth: a colour, a pattern, folds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import Array
from lavis_sam.synthesis.procedural.render.noise import ripples
from lavis_sam.synthesis.procedural.render.paint import Colour, Paint, linear, mixed, soft_step
from lavis_sam.synthesis.procedural.render.surfaces import Bump

PATTERNS = ("plain", "striped", "dotted", "checked")
# Metres: width of a stripe pair, distance of dots, width of a check.
_STRIPE, _DOT, _CHECK = 0.056, 0.052, 0.060


@dataclass(frozen=True)
class Fabric:
    """What a garment is made of.

    Attributes:
        colour: sRGB.
        pattern: One of `PATTERNS`.
        second: The pattern's other colour.
        denim: Whether it is worn at the thighs and has a coarse weave.
    """

    colour: Colour
    pattern: str = "plain"
    second: Colour = (240, 240, 238)
    denim: bool = False
    gloss: float = 0.0

    def paint(self, around: float, along: float, *, bands: float = 0.0, ends: str = "") -> Paint:
        """Return its colour on a surface.

        Args:
            around: Metres that u covers.
            along: Metres that v covers.
            bands: Width in metres of ribbed ends.
            ends: Which ends have them: "low", "high" or both.
        """
        base, other = linear(self.colour), linear(self.second)
        dark = linear(mixed(self.colour, (0, 0, 0), 0.22))

        def paint(u: Array, v: Array, points: Array) -> Array:
            """Return the colour at each point."""
            x, y = (u - 0.5) * around, v * along
            share = _pattern(self.pattern, x, y)[:, None]
            colour = base * (1 - share) + other * share
            shade = 1 + 0.07 * ripples(points, (0.25, 0.4, 0.25), 3)
            if self.denim:
                shade = shade + 0.05 * np.sin((x - y) * 900) + 0.10 * ripples(points, (0.3, 0.5, 0.3), 9)
            if bands:
                near = np.full(u.shape, 1.0, np.float32)
                if "low" in ends:
                    near = np.minimum(near, y)
                if "high" in ends:
                    near = np.minimum(near, along - y)
                rib = (near < bands)[:, None]
                ribbed = dark * (1 + 0.10 * np.sign(np.sin(x * 800)))[:, None]
                colour = np.where(rib, ribbed, colour)
            return (colour * shade[:, None]).astype(np.float32)

        return paint


def _pattern(name: str, x: Array, y: Array) -> Array:
    """Return the share of the second colour, 0 to 1, at metres x and y."""
    if name == "striped":
        return soft_step(np.abs((y / _STRIPE) % 1 - 0.5), 0.27, 0.06)
    if name == "dotted":
        row = np.floor(y / _DOT)
        dx, dy = ((x / _DOT + 0.5 * (row % 2)) % 1 - 0.5), (y / _DOT) % 1 - 0.5
        return 1 - soft_step(np.hypot(dx, dy), 0.24, 0.10)
    if name == "checked":
        across = soft_step(np.abs((x / _CHECK) % 1 - 0.5), 0.25, 0.05)
        along = soft_step(np.abs((y / _CHECK) % 1 - 0.5), 0.25, 0.05)
        return (0.5 * across + 0.5 * along).astype(np.float32)
    return np.zeros(x.shape, np.float32)


def folds(depth: float = 0.0022, scale: tuple[float, float, float] = (0.13, 0.20, 0.13), seed: int = 1) -> Bump:
    """Return soft folds: `depth` metres deep, `scale` metres apart in x, y and z."""
    return lambda points: np.float32(depth) * ripples(points, scale, seed)


def drapes(depth: float) -> Callable[[Array, Array, Array], Array]:
    """Return folds of a hanging skirt: they run down and become deeper towards the hem (v = 0)."""

    def change(u: Array, v: Array, points: Array) -> Array:
        """Return the points, moved outwards."""
        wave = np.cos(2 * np.pi * 13 * np.asarray(u)) + 0.5 * np.sin(2 * np.pi * 9 * np.asarray(u) + 1)
        deep = depth * wave * np.clip(1 - np.asarray(v), 0, 1) ** 1.3
        changed = points.copy()
        middle = points[..., [0, 2]].reshape(-1, 2).mean(axis=0)
        outward = points[..., [0, 2]] - middle
        outward = outward / np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
        changed[..., 0] += outward[..., 0] * deep
        changed[..., 2] += outward[..., 1] * deep
        return changed

    return change
