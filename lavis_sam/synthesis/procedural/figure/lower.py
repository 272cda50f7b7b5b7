"""What is worn on the lower body, and clothes that cover both halves."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lavis_sam.synthesis.procedural.figure.fabric import Fabric, drapes, folds
from lavis_sam.synthesis.procedural.figure.limbs import leg_path
from lavis_sam.synthesis.procedural.figure.skeleton import Skeleton
from lavis_sam.synthesis.procedural.figure.trunk import Trunk
from lavis_sam.synthesis.procedural.figure.upper import (
    SHORT,
    WHITE,
    Maker,
    body_of,
    collar_wings,
    neckline,
    sleeves,
    t_shirt,
)
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.paint import Colour, mixed, plain
from lavis_sam.synthesis.procedural.render.surfaces import Changed, Ellipsoid, Loft, Shape, Surface

# Places on a leg (1 knee, 2 ankle) where trouser legs and skirts end.
_ANKLE, _THIGH = 2.07, 0.72
_WAIST = 0.37


def trouser_legs(
    skeleton: Skeleton, fabric: Fabric, until: float, room: float, straight: float, *, cuff: float = 0.0
) -> list[Surface]:
    """Return both legs; `straight` is the least radius below the knee."""
    pieces = []
    for side in (-1, 1):
        centres, radii = leg_path(skeleton, side, until)
        # Less room at the hip, where shirts hang over the trousers.
        radii = radii + room * np.clip(np.linspace(0, 3, len(radii)), 0.25, 1)
        radii = np.maximum(radii, straight * skeleton.build.limb * skeleton.build.scale**0.5)
        length = float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum())
        paint = fabric.paint(0.4, length, bands=cuff, ends="high")
        bump = folds(0.0022, (0.16, 0.17, 0.16), seed=8 + side)
        pieces.append(Surface(Loft(centres, radii, round_ends=(True, False)), paint, bump=bump))
    return pieces


def _seat(skeleton: Skeleton, trunk: Trunk, fabric: Fabric, room: float, high: float = _WAIST) -> list[Surface]:
    return [body_of(trunk, fabric, -0.05, high, room, flat_waist=0.0), _crotch(skeleton, trunk, fabric, room)]


def _crotch(skeleton: Skeleton, trunk: Trunk, fabric: Fabric, room: float) -> Surface:
    """Return what rounds off the trunk between the legs."""
    centre, (wide, deep) = trunk.section(-0.05)
    radii = (wide * 0.93 + room, 0.085 * skeleton.build.scale + room, deep * 0.93 + room)
    return Surface(Ellipsoid(tuple(centre), radii), fabric.paint(0.8, 0.3))


def _belt(trunk: Trunk, colour: Colour, room: float = 0.014, place: float = _WAIST, flat_waist: float = 0.0) -> Surface:
    return body_of(trunk, Fabric(colour), place - 0.06, place + 0.01, room, flat_waist=flat_waist)


def trousers(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return trousers with long legs and a little room."""
    return [*_seat(skeleton, trunk, fabric, 0.008), *trouser_legs(skeleton, fabric, _ANKLE, 0.012, 0.062)]


def jeans(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return trousers of denim, close at the leg, turned up at the ankle."""
    denim = replace(fabric, denim=True)
    legs = trouser_legs(skeleton, denim, _ANKLE, 0.009, 0.054)
    light = Fabric(mixed(fabric.colour, (235, 238, 245), 0.45), denim=True)
    cuffs = []
    for side in (-1, 1):
        centres, radii = leg_path(skeleton, side, _ANKLE, 0.013)
        radii = np.maximum(radii, 0.058 * skeleton.build.limb * skeleton.build.scale**0.5)
        cuffs.append(Surface(Loft(centres[-2:], radii[-2:]), light.paint(0.3, 0.05)))
    return [*_seat(skeleton, trunk, denim, 0.007), *legs, *cuffs, _belt(trunk, (92, 58, 36), 0.011)]


def shorts(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return trousers with wide legs that end above the knee."""
    return [*_seat(skeleton, trunk, fabric, 0.010), *trouser_legs(skeleton, fabric, _THIGH, 0.024, 0.0, cuff=0.02)]


def skirt(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a skirt to the knee, with folds."""
    return [_hanging(skeleton, trunk, fabric, 0.95, 0.085), _belt(trunk, mixed(fabric.colour, (0, 0, 0), 0.25), 0.012)]


def _hanging(skeleton: Skeleton, trunk: Trunk, fabric: Fabric, until: float, flare: float) -> Surface:
    """Return the skirt of a dress: from the waist to a place on the legs, wide enough for both."""
    shape = _lap(skeleton, trunk, until) if skeleton.pose.seat else _cone(skeleton, trunk, until, flare)
    length = abs(trunk.height_of(_WAIST) - float(skeleton.at("knee", 1)[1])) + 0.1
    return Surface(shape, fabric.paint(1.1, length), fabric.gloss)


def _cone(skeleton: Skeleton, trunk: Trunk, until: float, flare: float) -> Shape:
    hips = float(skeleton.at("hip", 1)[1])
    knees = np.mean([skeleton.at("knee", side)[1] for side in (-1, 1)])
    top, bottom = trunk.height_of(_WAIST), hips + (float(knees) - hips) * until
    paths = [leg_path(skeleton, side, min(until, 1.3) + 0.1, 0.040) for side in (-1, 1)]
    centres, radii = [], []
    for share in np.linspace(1, 0, 7):  # from the hem up
        height = top + (bottom - top) * share
        own, (own_wide, own_deep) = trunk.section(float(np.clip(trunk.place_of(floats(height)), -0.16, 1)))
        reach = floats([own[0] - own_wide, own[0] + own_wide, own[2] - own_deep, own[2] + own_deep])
        reach += floats([-1, 1, -1, 1]) * np.float32(0.010 + flare * share**1.2 * skeleton.build.scale)
        if height < hips:
            for line, size in paths:
                x = np.interp(-height, -line[:, 1], line[:, 0])
                z = np.interp(-height, -line[:, 1], line[:, 2])
                r = np.interp(-height, -line[:, 1], size)
                reach = floats([min(reach[0], x - r), max(reach[1], x + r), min(reach[2], z - r), max(reach[3], z + r)])
        centres.append([(reach[0] + reach[1]) / 2, height, (reach[2] + reach[3]) / 2])
        radii.append(((reach[1] - reach[0]) / 2, (reach[3] - reach[2]) / 2))
    return Changed(Loft(centres, radii, level=True, squareness=2.2), drapes(0.008 * skeleton.build.scale))


def _lap(skeleton: Skeleton, trunk: Trunk, until: float) -> Shape:
    """Return the skirt of somebody who sits: over the thighs and a little down from the knees."""
    knees = (skeleton.at("knee", -1) + skeleton.at("knee", 1)) / 2
    hips = skeleton.at("pelvis")
    waist, (wide, deep) = trunk.section(_WAIST)
    size = skeleton.build.scale
    apart = abs(float(skeleton.at("knee", 1)[0] - skeleton.at("knee", -1)[0])) / 2 + 0.075 * size
    line = [knees + floats([0, -0.14 * size, 0.030]), knees + floats([0, -0.01, 0.012]), hips * 0.5 + knees * 0.5]
    line += [hips + floats([0, 0.0, 0.02]), waist]
    return Loft(
        line,
        [
            (apart, 0.085 * size),
            (apart, 0.088 * size),
            (apart, 0.098 * size),
            (wide * 1.28, deep * 1.2),
            (wide + 0.012, deep + 0.012),
        ],
        front=(0.0, 0.5, 1.0),
        squareness=2.6,
    )


def dress(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a dress, fitted above the waist, wide below, with short sleeves."""
    top = body_of(trunk, fabric, _WAIST - 0.05, 1.065, 0.012, trim=neckline(trunk, 0.055, 0.085), flat_waist=0.0)
    return [
        top,
        _hanging(skeleton, trunk, fabric, 0.98, 0.11),
        _belt(trunk, mixed(fabric.colour, (0, 0, 0), 0.28), 0.016, _WAIST + 0.02),
        *sleeves(skeleton, fabric, 0.42, 0.014),
    ]


def sundress(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a dress with straps instead of sleeves."""
    edge, strap = trunk.height_of(0.84), skeleton.build.shoulders * 0.48

    def there(u: Array, v: Array, points: Array) -> Array:
        on_strap = np.abs(np.abs(points[..., 0]) - strap) < 0.014
        return (points[..., 1] < edge) | on_strap

    top = body_of(trunk, fabric, _WAIST - 0.05, 1.045, 0.011, trim=there, flat_waist=0.0)
    return [top, _hanging(skeleton, trunk, fabric, 1.0, 0.14)]


def jumpsuit(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return trousers and top in one, with a collar and a belt."""
    body = body_of(trunk, fabric, -0.05, 1.07, 0.013, trim=neckline(trunk, 0.09, 0.045, pointed=True), flat_waist=0.25)
    cloth = replace(fabric, colour=mixed(fabric.colour, (255, 255, 255), 0.08), pattern="plain")
    return [
        body,
        _crotch(skeleton, trunk, fabric, 0.012),
        *trouser_legs(skeleton, fabric, _ANKLE, 0.016, 0.066),
        *sleeves(skeleton, fabric, SHORT, 0.015, cuff=0.02),
        _belt(trunk, mixed(fabric.colour, (0, 0, 0), 0.35), 0.019, 0.44, 0.25),
        *collar_wings(trunk, cloth, 0.016),
    ]


def overalls(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return trousers with a bib and straps over a white t-shirt."""
    denim = replace(fabric, denim=True)
    half, strap = skeleton.build.chest[0] * 0.62, skeleton.build.chest[0] * 0.52
    top = trunk.height_of(0.80)

    def bib(u: Array, v: Array, points: Array) -> Array:
        return (np.abs(points[..., 0]) < half) & (points[..., 2] > 0) & (points[..., 1] < top)

    def straps(u: Array, v: Array, points: Array) -> Array:
        # They meet in the middle of the back.
        back = points[..., 2] < trunk.skeleton.at("collar")[2] - 0.01
        drop = np.clip((trunk.height_of(1.0) - points[..., 1]) / 0.3, 0, 1)
        middle = np.where(back, strap * (1 - drop), strap)
        return np.abs(np.abs(points[..., 0]) - middle) < 0.016

    pocket_half = half * 0.55
    pocket = body_of(
        trunk,
        replace(denim, colour=mixed(fabric.colour, (0, 0, 0), 0.16)),
        0.56,
        0.74,
        0.028,
        trim=lambda u, v, points: (np.abs(points[..., 0]) < pocket_half) & (points[..., 2] > 0),
        flat_waist=0.4,
    )
    pieces = [
        *t_shirt(skeleton, trunk, WHITE, low=0.40),
        *_seat(skeleton, trunk, denim, 0.020, 0.44),
        *trouser_legs(skeleton, denim, _ANKLE, 0.017, 0.064),
        body_of(trunk, denim, 0.40, 0.82, 0.024, trim=bib, flat_waist=0.4),
        body_of(trunk, denim, 0.76, 1.055, 0.026, trim=straps),
        pocket,
    ]
    shape = trunk.shape(0.76, 0.80, 0.032)
    for side in (-1, 1):
        middle = shape.point(floats([0.5]), floats([0.5]))[0]
        at = middle + floats([side * strap, 0, -0.006])
        disc = Loft([at, at + floats([0, 0, 0.004])], [0.013, 0.011], round_ends=(False, True), front=(0.0, 1.0, 0.0))
        pieces.append(Surface(disc, plain((212, 184, 92)), 0.4, lift=0.01))
    return pieces


LOWER: dict[str, Maker] = {"trousers": trousers, "jeans": jeans, "shorts": shorts, "skirt": skirt}
WHOLE: dict[str, Callable[[Skeleton, Trunk, Fabric], list[Surface]]] = {
    "dress": dress,
    "sundress": sundress,
    "jumpsuit": jumpsuit,
    "overalls": overalls,
}
