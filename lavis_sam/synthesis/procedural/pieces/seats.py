"""What people sit and lie on."""

import numpy as np

from lavis_sam.synthesis.procedural.pieces.parts import (
    Built,
    Look,
    Piece,
    bar,
    board,
    column,
    cushion,
    four_legs,
    scaled,
    square_legs,
)
from lavis_sam.synthesis.procedural.render.paint import mixed, plain, wood, woven


def _couch(look: Look, seats: int, width: float) -> Built:
    w, h, d = scaled((width, 0.84, 0.90), look)
    half, deep = w / 2, d / 2
    arm = 0.17 if look.variant != 2 else 0.11
    seat, leg = 0.43, 0.12
    surfaces, feet = four_legs(look, half - 0.09, deep - 0.10, leg + 0.02, radius=0.026, splay=0.015)
    surfaces += look.board((-half + 0.02, leg, -deep + 0.03), (half - 0.02, 0.30, deep - 0.03), radius=0.03)
    surfaces += look.cushion((-half + 0.03, leg + 0.02, -deep), (half - 0.03, h - 0.06, -deep + 0.22), radius=0.06)
    for side in (-1, 1):
        low, high = sorted((side * half, side * (half - arm)))
        top = 0.64 if look.variant != 1 else 0.58
        surfaces += look.cushion((low, leg, -deep + 0.02), (high, top, deep - 0.01), radius=0.06, bulge=0.008)
    each = (w - 2 * arm) / seats
    for index in range(seats):
        left = -half + arm + index * each
        surfaces += look.cushion(
            (left + 0.006, 0.28, -deep + 0.20), (left + each - 0.006, seat, deep + 0.015), bulge=0.022
        )
        surfaces += look.cushion(
            (left + 0.010, seat + 0.005, -deep + 0.16), (left + each - 0.010, h, -deep + 0.34), bulge=0.035, tilt=10
        )
    if look.variant == 1:
        surfaces += _throw_pillows(look, half - arm, seat, deep)
    return surfaces, feet


def _throw_pillows(look: Look, reach: float, seat: float, deep: float) -> list:
    surfaces = []
    for side in (-1, 1):
        x = side * (reach - 0.24)
        surfaces += cushion(
            (x - 0.21, seat + 0.02, -deep + 0.37),
            (x + 0.21, seat + 0.42, -deep + 0.50),
            woven(look.accent, seed=3),
            radius=0.06,
            bulge=0.045,
            tilt=18,
        )
    return surfaces


def _sofa(look: Look) -> Built:
    return _couch(look, 3 if look.variant == 0 else 2, 2.10 if look.variant == 0 else 1.80)


def _armchair(look: Look) -> Built:
    if look.variant < 2:
        return _couch(look, 1, 0.92)
    # A wing chair.
    w, h, d = scaled((0.80, 1.06, 0.84), look)
    half, deep = w / 2, d / 2
    surfaces, feet = four_legs(look, half - 0.09, deep - 0.10, 0.20, radius=0.026, splay=0.02)
    surfaces += look.board((-half + 0.03, 0.17, -deep + 0.05), (half - 0.03, 0.32, deep - 0.02), radius=0.03)
    surfaces += look.cushion((-half + 0.12, 0.30, -deep + 0.18), (half - 0.12, 0.46, deep + 0.01), bulge=0.025)
    surfaces += look.cushion((-half + 0.09, 0.34, -deep + 0.02), (half - 0.09, h, -deep + 0.20), bulge=0.03, tilt=7)
    for side in (-1, 1):
        low, high = sorted((side * half, side * (half - 0.13)))
        surfaces += look.cushion((low, 0.20, -deep + 0.06), (high, 0.62, deep - 0.04), radius=0.055, bulge=0.01)
        low, high = sorted((side * (half - 0.01), side * (half - 0.11)))
        surfaces += look.cushion(
            (low, 0.58, -deep + 0.02), (high, h - 0.03, -deep + 0.36), radius=0.05, bulge=0.01, tilt=7
        )
    return surfaces, feet


def _chair(look: Look) -> Built:
    w, h, d = scaled((0.46, 0.90, 0.48), look)
    half, deep, seat = w / 2, d / 2, 0.46
    surfaces, feet = four_legs(look, half - 0.045, deep - 0.045, seat - 0.02, radius=0.020, splay=0.018, thin=0.75)
    if look.material in ("fabric", "leather"):
        surfaces += look.cushion((-half, seat - 0.05, -deep), (half, seat + 0.02, deep), radius=0.03, bulge=0.012)
    else:
        surfaces += look.board((-half, seat - 0.035, -deep), (half, seat, deep), radius=0.014)
    for side in (-1, 1):
        x = side * (half - 0.035)
        surfaces.append(look.bar([(x, seat - 0.03, -deep + 0.03), (x, h - 0.03, -deep - 0.055)], [0.018, 0.015]))
    if look.variant == 0:
        for low in (seat + 0.16, seat + 0.30):
            surfaces += look.board(
                (-half + 0.02, low, -deep - 0.035), (half - 0.02, low + 0.085, -deep - 0.01), radius=0.010
            )
    elif look.variant == 1:
        for x in (-0.11, 0.0, 0.11):
            surfaces.append(look.bar([(x, seat, -deep + 0.02), (x, h - 0.06, -deep - 0.05)], [0.016, 0.016]))
        surfaces += look.board((-half + 0.01, h - 0.10, -deep - 0.068), (half - 0.01, h, -deep - 0.040), radius=0.012)
    else:
        surfaces += look.cushion(
            (-half + 0.01, seat + 0.10, -deep - 0.055),
            (half - 0.01, h, -deep - 0.005),
            radius=0.02,
            bulge=0.014,
            tilt=8,
        )
    return surfaces, feet


def _stool(look: Look) -> Built:
    _, h, d = scaled((0.40, 0.62, 0.40), look)
    half = d / 2
    legs, feet = four_legs(look, half * 0.55, half * 0.55, h - 0.04, radius=0.018, splay=half * 0.42)
    height = h * 0.30
    reach = half * (0.55 + 0.42 * (1 - height / h)) * 0.98
    ring = [(reach * x, height, reach * z) for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    rungs = [look.bar([ring[i], ring[i + 1]], [0.011, 0.011], along=0) for i in range(4)]
    soft = look.material in ("fabric", "leather")
    edge = 0.045 if soft else 0.022
    profile = [(h - edge, half * 0.98), (h - edge * 0.5, half), (h - 0.008, half * 0.98), (h, half * 0.88)]
    return [*legs, *rungs, column(0, 0, profile, look.cover(), look.gloss)], feet


def _bench(look: Look) -> Built:
    w, h, d = scaled((1.30, 0.46, 0.38), look)
    half, deep = w / 2, d / 2
    surfaces, feet = square_legs(look, half - 0.06, deep - 0.01, h - 0.03, 0.028, look.frame())
    if look.variant == 0:
        surfaces += look.board((-half, h - 0.045, -deep), (half, h, deep), radius=0.010)
    else:
        for index in range(3):
            near = -deep + index * d / 3
            surfaces += look.board((-half, h - 0.035, near + 0.008), (half, h, near + d / 3 - 0.008), radius=0.008)
    surfaces += board((-half + 0.1, h - 0.13, -0.02), (half - 0.1, h - 0.04, 0.02), look.frame(0), look.leg_gloss)
    return surfaces, feet


def _bed(look: Look) -> Built:
    w, h, d = scaled((1.50, 1.00, 2.02), look)
    half, deep = w / 2, d / 2
    surfaces, feet = square_legs(look, half, deep, 0.20, 0.035, look.cover(1))
    surfaces += look.board((-half, 0.16, -deep), (half, 0.34, deep), radius=0.015)
    head = h if look.variant != 1 else h * 0.82
    if look.material in ("fabric", "leather"):
        surfaces += look.cushion((-half, 0.16, -deep - 0.06), (half, head, -deep + 0.05), radius=0.04, bulge=0.02)
    else:
        surfaces += look.board((-half, 0.0, -deep - 0.03), (half, head, -deep + 0.02), radius=0.015)
    white = plain((240, 239, 234))
    surfaces += cushion(
        (-half + 0.03, 0.30, -deep + 0.03), (half - 0.03, 0.54, deep - 0.02), white, radius=0.06, bulge=0.01
    )
    cover = woven(look.accent, seed=8)
    surfaces += cushion(
        (-half + 0.005, 0.27, -deep + 0.72), (half - 0.005, 0.585, deep + 0.005), cover, radius=0.07, bulge=0.012
    )
    fold = woven(mixed(look.accent, (255, 255, 255), 0.55), seed=9)
    surfaces += cushion(
        (-half + 0.002, 0.40, -deep + 0.60), (half - 0.002, 0.595, -deep + 0.84), fold, radius=0.05, bulge=0.006
    )
    for side in (-1, 1):
        x = side * half * 0.48
        surfaces += cushion(
            (x - 0.31, 0.53, -deep + 0.08), (x + 0.31, 0.69, -deep + 0.50), white, radius=0.07, bulge=0.035
        )
    return surfaces, feet


def _rocking_chair(look: Look) -> Built:
    surfaces, _ = _chair(
        Look(look.main, look.legs, look.accent, look.material, look.wooden_legs, 1, look.size, look.seed)
    )
    w, _, d = scaled((0.46, 0.90, 0.48), look)
    feet = []
    paint = wood(look.legs, along=2, seed=5) if look.wooden_legs else look.frame(2)
    for side in (-1, 1):
        x = side * (w / 2 - 0.030)
        curve = [(x, 0.010 + 0.30 * t**2, t * 0.92) for t in np.linspace(-0.45, 0.45, 7)]
        surfaces.append(bar(curve, [0.017] * 7, paint, look.leg_gloss))
        feet.append((x - 0.02, x + 0.02, -0.25, 0.25))
        surfaces.append(bar([(x, 0.46, d / 2 - 0.04), (x, 0.66, d / 2 - 0.06)], [0.014, 0.014], paint, look.leg_gloss))
        surfaces += board((x - 0.028, 0.655, -d / 2 - 0.03), (x + 0.028, 0.680, d / 2), paint, look.leg_gloss, 0.010)
    return surfaces, feet


SEATS: dict[str, Piece] = {
    "sofa": Piece(
        _sofa, 2.1, 0.84, ("fabric", "fabric", "leather"), ("", "with two $accent cushions", ""), accented=True
    ),
    "armchair": Piece(_armchair, 0.95, 0.90, ("fabric", "leather"), ("", "", "")),
    "chair": Piece(_chair, 0.50, 0.90, ("wood", "painted", "fabric"), ("", "", "")),
    "stool": Piece(_stool, 0.45, 0.62, ("wood", "painted", "leather")),
    "bench": Piece(_bench, 1.30, 0.46, ("wood", "painted"), ("", "")),
    "bed": Piece(
        _bed, 2.05, 1.00, ("wood", "painted", "fabric"), ("with a $accent cover", "with a $accent cover"), accented=True
    ),
    "rocking chair": Piece(_rocking_chair, 0.85, 0.90, ("wood", "painted")),
}
