"""What is worn on the feet."""

from collections.abc import Callable

import numpy as np

from lavis_sam.synthesis.procedural.figure.limbs import bare_foot, foot_axes, leg_path, sock
from lavis_sam.synthesis.procedural.figure.skeleton import Side, Skeleton
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.paint import Colour, Paint, linear, mixed, plain, soft_step
from lavis_sam.synthesis.procedural.render.surfaces import Loft, Surface

_SOLE = (232, 230, 224)


def _line(skeleton: Skeleton, side: Side, drop: float) -> tuple[list[Array], Array, float]:
    """Return heel to toe, `drop` metres below the ankle (for an average adult); what is up; the size."""
    ahead, up, ankle = foot_axes(skeleton, side)
    size = skeleton.build.scale * (0.75 + 0.25 * skeleton.build.limb)
    base = ankle - up * np.float32(drop * size)
    return [base + ahead * np.float32(step * size) for step in (-0.052, -0.015, 0.05, 0.11, 0.160)], up, size


def _upper(skeleton: Skeleton, side: Side, paint: Paint, gloss: float) -> Surface:
    line, up, size = _line(skeleton, side, 0.046)
    line = [point - up * np.float32(low * size) for point, low in zip(line, (0, 0, 0.004, 0.012, 0.014), strict=True)]
    radii = floats([(0.034, 0.040), (0.037, 0.046), (0.041, 0.040), (0.047, 0.028), (0.042, 0.022)]) * size
    return Surface(Loft(line, radii, front=up, round_ends=(True, True), squareness=2.2), paint, gloss)


def _sole(skeleton: Skeleton, side: Side, colour: Colour, thick: float = 0.013, wide: float = 1.0) -> Surface:
    line, up, size = _line(skeleton, side, 0.078)
    radii = [(half * wide * size, thick * size) for half in (0.036, 0.039, 0.041, 0.050, 0.044)]
    return Surface(Loft(line, radii, front=up, round_ends=(True, True), squareness=5), plain(colour))


def sneakers(skeleton: Skeleton, side: Side, colour: Colour, skin: Paint) -> list[Surface]:
    """Return sneakers with white soles, a white tip and laces."""
    base, white = linear(colour), linear(mixed((242, 242, 240), colour, 0.05))

    def paint(u: Array, v: Array, points: Array) -> Array:
        top = 1 - soft_step(np.abs(u - 0.5), 0.085, 0.02)
        laces = top * (v > 0.42) * (v < 0.72) * (np.sin(v * 130) > -0.1)
        tip = soft_step(v, 0.86, 0.02)
        share = np.clip(laces + tip, 0, 1)[:, None]
        return base * (1 - share) + white * share

    return [sock(skeleton, side, plain(_SOLE)), _upper(skeleton, side, paint, 0.08), _sole(skeleton, side, _SOLE)]


def shoes(skeleton: Skeleton, side: Side, colour: Colour, skin: Paint) -> list[Surface]:
    """Return shoes of leather, with dark soles."""
    return [
        sock(skeleton, side, plain((70, 72, 80))),
        _upper(skeleton, side, plain(colour), 0.30),
        _sole(skeleton, side, mixed(colour, (20, 16, 14), 0.7), 0.010),
    ]


def boots(skeleton: Skeleton, side: Side, colour: Colour, skin: Paint) -> list[Surface]:
    """Return boots up to half the shin."""
    centres, radii = leg_path(skeleton, side, 2.0, 0.016)
    start = int(len(centres) * 0.80)
    shaft = Loft(
        centres[start:],
        np.maximum(radii[start:], 0.068 * skeleton.build.limb * skeleton.build.scale**0.5),
        round_ends=(False, True),
    )
    return [
        _upper(skeleton, side, plain(colour), 0.22),
        Surface(shaft, plain(colour), 0.22),
        _sole(skeleton, side, mixed(colour, (20, 16, 14), 0.7), 0.014),
    ]


def sandals(skeleton: Skeleton, side: Side, colour: Colour, skin: Paint) -> list[Surface]:
    """Return a sole and straps on bare feet."""
    line, up, size = _line(skeleton, side, 0.052)
    radii = floats([(0.036, 0.042), (0.039, 0.048), (0.043, 0.034), (0.0485, 0.027), (0.046, 0.020)]) * size
    straps = Loft(line, radii, front=up, squareness=2.2)

    def there(u: Array, v: Array, points: Array) -> Array:
        return (np.abs(v - 0.72) < 0.07) | (np.abs(v - 0.44) < 0.05) | (v < 0.10)

    # Sandals are close to the ground: their sole is the lowest part of the figure as well.
    return [
        *bare_foot(skeleton, side, skin),
        Surface(straps, plain(colour), 0.12, trim=there),
        _sole(skeleton, side, mixed(colour, (60, 40, 25), 0.25), 0.010, 1.02),
    ]


FOOTWEAR: dict[str, Callable[[Skeleton, Side, Colour, Paint], list[Surface]]] = {
    "sneakers": sneakers,
    "shoes": shoes,
    "boots": boots,
    "sandals": sandals,
}
