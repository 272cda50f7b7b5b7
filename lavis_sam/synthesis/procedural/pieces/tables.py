"""Tables, desks and lamps."""

import numpy as np

from lavis_sam.synthesis.procedural.pieces.parts import (
    Built,
    Look,
    Piece,
    bar,
    board,
    column,
    four_legs,
    scaled,
    square_legs,
)
from lavis_sam.synthesis.procedural.render.arrays import Array
from lavis_sam.synthesis.procedural.render.paint import Paint, linear, mixed
from lavis_sam.synthesis.procedural.render.surfaces import Loft, Surface


def _table(look: Look) -> Built:
    w, h, d = scaled((1.40, 0.75, 0.80), look)
    half, deep = w / 2, d / 2
    surfaces, feet = square_legs(look, half - 0.04, deep - 0.04, h - 0.03, 0.032, look.cover(1))
    surfaces += look.board((-half, h - 0.035, -deep), (half, h, deep), radius=0.010)
    for side in (-1, 1):
        surfaces += board(
            (-half + 0.08, h - 0.12, side * (deep - 0.075) - 0.010),
            (half - 0.08, h - 0.03, side * (deep - 0.075) + 0.010),
            look.cover(),
        )
        surfaces += board(
            (side * (half - 0.075) - 0.010, h - 0.12, -deep + 0.08),
            (side * (half - 0.075) + 0.010, h - 0.03, deep - 0.08),
            look.cover(2),
        )
    return surfaces, feet


def _round_table(look: Look) -> Built:
    w, h, _ = scaled((0.95, 0.74, 0.95), look)
    half = w / 2
    top = column(
        0,
        0,
        [(h - 0.040, half * 0.98), (h - 0.030, half), (h - 0.006, half), (h, half * 0.985)],
        look.cover(),
        look.gloss,
    )
    if look.variant == 0:
        stem = [(0.02, 0.05), (0.06, 0.042), (0.30, 0.030), (0.50, 0.046), (h - 0.05, 0.050), (h - 0.035, 0.11)]
        foot = column(
            0,
            0,
            [(0.0, half * 0.56), (0.015, half * 0.56), (0.035, half * 0.40), (0.05, 0.06)],
            look.frame(0),
            look.leg_gloss,
        )
        reach = half * 0.5
        return [top, column(0, 0, stem, look.frame(), look.leg_gloss), foot], [(-reach, reach, -reach, reach)]
    legs, feet = four_legs(look, half * 0.42, half * 0.42, h - 0.03, radius=0.024, splay=half * 0.20)
    return [top, *legs], feet


def _coffee_table(look: Look) -> Built:
    w, h, d = scaled((1.05, 0.42, 0.60), look)
    half, deep = w / 2, d / 2
    surfaces, feet = four_legs(look, half - 0.10, deep - 0.09, h - 0.03, radius=0.022, splay=0.04)
    surfaces += look.board((-half, h - 0.040, -deep), (half, h, deep), radius=0.016)
    if look.variant == 1:
        surfaces += look.board((-half + 0.08, h * 0.40, -deep + 0.07), (half - 0.08, h * 0.40 + 0.022, deep - 0.07))
    return surfaces, feet


def _desk(look: Look) -> Built:
    w, h, d = scaled((1.30, 0.75, 0.62), look)
    half, deep = w / 2, d / 2
    surfaces = look.board((-half, h - 0.032, -deep), (half, h, deep), radius=0.008)
    left = half - 0.42
    case = (left, half - 0.02)
    surfaces += look.board((case[0], 0.0, -deep + 0.03), (case[1], h - 0.03, deep - 0.025), along=1)
    knob = look.frame()
    for index in range(3):
        low = 0.08 + index * 0.205
        surfaces += look.board(
            (case[0] + 0.015, low, deep - 0.028), (case[1] - 0.015, low + 0.190, deep - 0.010), radius=0.006
        )
        middle = (case[0] + case[1]) / 2
        surfaces.append(
            bar(
                [(middle - 0.05, low + 0.12, deep + 0.008), (middle + 0.05, low + 0.12, deep + 0.008)],
                [0.009] * 2,
                knob,
                0.4,
            )
        )
    feet = [(case[0], case[1], -deep + 0.03, deep - 0.03)]
    for z in (-1, 1):
        x, near = -half + 0.05, z * (deep - 0.06)
        surfaces += look.board((x - 0.024, 0, near - 0.024), (x + 0.024, h - 0.03, near + 0.024), along=1)
        feet.append((x - 0.024, x + 0.024, near - 0.024, near + 0.024))
    surfaces += look.board((-half + 0.04, h * 0.45, -deep + 0.04), (left, h - 0.03, -deep + 0.058))
    return surfaces, feet


def _glow(look: Look) -> Paint:
    """Return a lampshade, brighter in its middle where the bulb is."""
    base, light = linear(look.main), linear(mixed(look.main, (255, 244, 214), 0.72))

    def paint(u: Array, v: Array, points: Array) -> Array:
        share = (np.exp(-(((v - 0.45) / 0.34) ** 2)) * 0.65)[:, None]
        return base * (1 - share) + light * share

    return paint


def _shade(look: Look, low: float, high: float, bottom: float, top: float) -> Surface:
    return Surface(
        Loft([(0, low, 0), (0, (low + high) / 2, 0), (0, high, 0)], [bottom, (bottom + top) / 2, top], level=True),
        _glow(look),
    )


def _floor_lamp(look: Look) -> Built:
    _, h, _ = scaled((0.45, 1.55, 0.45), look)
    shade = _shade(look, h - 0.30, h, 0.225, 0.150)
    if look.variant == 0:
        base = column(0, 0, [(0.0, 0.15), (0.016, 0.15), (0.030, 0.13), (0.036, 0.02)], look.frame(0), look.leg_gloss)
        pole = look.bar([(0, 0.02, 0), (0, h - 0.04, 0)], [0.013, 0.011])
        return [base, pole, shade], [(-0.13, 0.13, -0.13, 0.13)]
    surfaces, feet = ([shade, look.bar([(0, h - 0.45, 0), (0, h - 0.04, 0)], [0.016, 0.010])], [])
    for angle in np.deg2rad((90, 210, 330)):
        x, z = 0.25 * float(np.cos(angle)), 0.25 * float(np.sin(angle))
        surfaces.append(look.bar([(0, h - 0.42, 0), (x, 0.012, z)], [0.017, 0.012]))
        feet.append((x - 0.015, x + 0.015, z - 0.015, z + 0.015))
    return surfaces, feet


TABLES: dict[str, Piece] = {
    "table": Piece(_table, 1.40, 0.75, ("wood", "painted")),
    "round table": Piece(_round_table, 0.95, 0.74, ("wood", "painted"), ("", "")),
    "coffee table": Piece(_coffee_table, 1.05, 0.42, ("wood", "painted"), ("", "with a shelf")),
    "desk": Piece(_desk, 1.30, 0.75, ("wood", "painted"), ("with three drawers",)),
    "floor lamp": Piece(_floor_lamp, 0.50, 1.55, ("fabric",), ("", "on three legs")),
}
