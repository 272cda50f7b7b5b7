"""Hats, glasses, scarves, bags, and the stool of a sitting figure."""

from collections.abc import Callable

import numpy as np

from lavis_sam.synthesis.procedural.figure.fabric import Fabric, folds
from lavis_sam.synthesis.procedural.figure.head import EYE_ANGLE, EYE_HEIGHT, Head, Shell
from lavis_sam.synthesis.procedural.figure.skeleton import Skeleton
from lavis_sam.synthesis.procedural.figure.trunk import Trunk
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.paint import Colour, linear, mixed, plain, wood
from lavis_sam.synthesis.procedural.render.surfaces import (
    Changed,
    Ellipsoid,
    Loft,
    Surface,
    box_faces,
    limb,
    sphere,
    turn_y,
)


def _on_head(head: Head, place: tuple[float, float, float]) -> Array:
    """Return where a place is that is given in half head heights from the middle of the head."""
    return turn_y(floats(place) * head.half, head.turn) + head.centre


def _dome(head: Head, colour: Colour, low: float, room: float, rise: float = 0.0) -> Surface:
    """Return a cover of the head above a height."""

    def thick(angle: Array, y: Array, directions: Array) -> Array:
        return np.asarray(room + rise * np.clip(y, 0, 1) ** 3, np.float32)

    return Surface(
        Shell(head, thick),
        Fabric(colour).paint(0.5, 0.25),
        trim=lambda u, v, points: np.broadcast_to(sphere(u, v)[..., 1] > low, np.shape(points)[:-1]),
        bump=folds(0.002, (0.08, 0.08, 0.08)),
    )


def cap(head: Head, trunk: Trunk, colour: Colour) -> list[Surface]:
    """Return a cap with a peak."""
    half = head.half

    def peak(u: Array, v: Array, points: Array) -> Array:
        return points

    outline = Loft(
        [_on_head(head, (0, 0.52, 0.52)), _on_head(head, (0, 0.47, 0.95)), _on_head(head, (0, 0.36, 1.22))],
        [(0.60 * half, 0.035 * half), (0.56 * half, 0.030 * half), (0.36 * half, 0.02 * half)],
        front=(0, 1, 0),
        round_ends=(False, True),
        squareness=2.4,
    )
    dark = Fabric(mixed(colour, (0, 0, 0), 0.18))
    button = Ellipsoid(tuple(_on_head(head, (0, 1.19, 0))), (0.06 * half, 0.04 * half, 0.06 * half))
    return [
        _dome(head, colour, 0.36, 0.15, 0.03),
        Surface(Changed(outline, peak), dark.paint(0.2, 0.1)),
        Surface(button, dark.paint(0.1, 0.1)),
    ]


def beanie(head: Head, trunk: Trunk, colour: Colour) -> list[Surface]:
    """Return a knitted hat with a turned-up edge and a bobble."""
    base, dark = linear(colour), linear(mixed(colour, (0, 0, 0), 0.25))

    def knit(u: Array, v: Array, points: Array) -> Array:
        share = (0.5 + 0.5 * np.sin(u * 2 * np.pi * 42))[..., None] * 0.5
        return base * (1 - share) + dark * share

    edge = Shell(head, lambda angle, y, directions: np.full(y.shape, 0.20, np.float32))
    rim = Surface(
        edge,
        Fabric(mixed(colour, (255, 255, 255), 0.14)).paint(0.5, 0.1),
        trim=lambda u, v, points: np.broadcast_to(np.abs(sphere(u, v)[..., 1] - 0.44) < 0.13, np.shape(points)[:-1]),
    )
    dome = _dome(head, colour, 0.36, 0.15, 0.10)
    bobble = Ellipsoid(tuple(_on_head(head, (0, 1.34, 0))), (0.24 * head.half,) * 3)
    fluff = Fabric(mixed(colour, (255, 255, 255), 0.35)).paint(0.2, 0.2)
    return [
        Surface(dome.shape, knit, trim=dome.trim),
        rim,
        Surface(bobble, fluff, bump=folds(0.006, (0.02, 0.02, 0.02))),
    ]


def sun_hat(head: Head, trunk: Trunk, colour: Colour) -> list[Surface]:
    """Return a straw hat with a wide brim and a ribbon."""
    half, straw = head.half, (222, 192, 132)
    middle = _on_head(head, (0, 0.50, -0.02))
    brim = Loft(
        [middle + floats([0, 0.05 * half, 0]), middle, middle - floats([0, 0.07 * half, 0])],
        [(0.70 * half, 0.80 * half), (1.20 * half, 1.28 * half), (1.58 * half, 1.66 * half)],
        level=True,
    )
    weave = linear(straw)

    def plaited(u: Array, v: Array, points: Array) -> Array:
        return weave * (1 + 0.10 * np.sin(v * 70) + 0.06 * np.sin(u * 420))[..., None]

    ribbon = _dome(head, colour, 0.46, 0.185, 0.0)
    band = Surface(
        ribbon.shape,
        Fabric(colour).paint(0.5, 0.1),
        trim=lambda u, v, points: np.broadcast_to(np.abs(sphere(u, v)[..., 1] - 0.58) < 0.10, np.shape(points)[:-1]),
    )
    crown = _dome(head, straw, 0.40, 0.17, 0.05)
    return [Surface(brim, plaited), Surface(crown.shape, plaited, trim=crown.trim), band]


def glasses(head: Head, trunk: Trunk, colour: Colour) -> list[Surface]:
    """Return round frames."""
    paint, pieces = plain(colour), []
    around = np.linspace(0, 2 * np.pi, 21)
    inner = []
    for side in (-1, 1):
        angle = side * (EYE_ANGLE + 0.02)
        centre = floats([np.sin(angle) * 0.655, EYE_HEIGHT - 0.01, np.cos(angle) * 0.655 + 0.155])
        ring = [
            _on_head(
                head,
                (
                    centre[0] + 0.205 * np.cos(t) * 0.98,
                    centre[1] + 0.175 * np.sin(t),
                    centre[2] - 0.05 * side * np.cos(t),
                ),
            )
            for t in around
        ]
        pieces.append(Surface(Loft(ring, [0.020 * head.half] * len(ring)), paint, 0.3, shadows=False))
        inner.append(_on_head(head, (centre[0] - side * 0.20, centre[1] + 0.03, centre[2] + 0.05)))
        bow = [
            _on_head(head, (centre[0] + side * 0.20, centre[1] + 0.03, centre[2] - 0.05)),
            _on_head(head, (side * 0.70, 0.0, -0.05)),
        ]
        pieces.append(Surface(limb(bow, [0.018 * head.half] * 2), paint, 0.3, shadows=False))
    pieces.append(Surface(limb(inner, [0.018 * head.half] * 2), paint, 0.3, shadows=False))
    return pieces


def scarf(head: Head, trunk: Trunk, colour: Colour) -> list[Surface]:
    """Return a scarf around the neck, with one end hanging in front."""
    centre, (wide, deep) = trunk.section(1.05)
    size = trunk.skeleton.build.scale
    cloth = Fabric(colour)
    pieces = []
    for height, room, thick in ((0.006, 0.016, 0.030), (0.040, 0.006, 0.027)):
        angles = np.linspace(0, 2 * np.pi, 19)
        ring = [
            centre
            + floats(
                [np.sin(t) * (wide + room), height * size + 0.008 * np.cos(t * 2), np.cos(t) * (deep + room) + 0.004]
            )
            for t in angles
        ]
        paint = cloth.paint(0.2, 0.5)
        pieces.append(Surface(Loft(ring, [thick * size] * len(ring)), paint, bump=folds(0.004, (0.05, 0.05, 0.05))))
    front = centre + floats([0.045 * size, -0.01, deep + 0.028])
    bust = trunk.skeleton.build.bust
    line = [
        front,
        front + floats([0.014, -0.12, 0.024 + bust]),
        front + floats([0.010, -0.33 * size, 0.034 + bust * 0.4]),
    ]
    stripe = Fabric(colour, "striped", mixed(colour, (255, 255, 255), 0.55))
    end = Loft(line, [(0.034 * size, 0.016), (0.040 * size, 0.013), (0.044 * size, 0.010)], squareness=3)
    return [*pieces, Surface(end, stripe.paint(0.1, 0.36))]


def backpack(head: Head, trunk: Trunk, colour: Colour) -> list[Surface]:
    """Return a backpack on the back, with two straps in front."""
    size = trunk.skeleton.build.scale
    middle, (_, deep) = trunk.section(0.62)
    cloth, dark = Fabric(colour), Fabric(mixed(colour, (0, 0, 0), 0.25))
    box = box_faces(
        middle + floats([0, 0.01, -deep - 0.095 * size]),
        (0.150 * size, 0.205 * size, 0.075 * size),
        radius=0.05,
        bulge=0.012,
    )
    strap = trunk.skeleton.build.shoulders * 0.56

    def straps(u: Array, v: Array, points: Array) -> Array:
        return (np.abs(np.abs(points[..., 0]) - strap) < 0.021) & (points[..., 2] > -deep * 0.9)

    shape = trunk.shape(0.48, 1.06, 0.036, flat_waist=0.4)
    return [*(Surface(face, cloth.paint(0.3, 0.4)) for face in box), Surface(shape, dark.paint(0.4, 0.4), trim=straps)]


def stool(skeleton: Skeleton) -> list[Surface]:
    """Return what a sitting figure sits on."""
    size = skeleton.build.scale
    hip = skeleton.at("pelvis")
    top = float(hip[1]) - 0.088 * size * max(0.85, skeleton.build.limb)
    half, thick = 0.185 * size, 0.022
    back = float(hip[2]) + 0.030
    paint = wood((176, 122, 74), along=0, seed=4)
    seat = Loft(
        [(0, top - 2 * thick, back), (0, top - thick, back), (0, top, back)],
        [half * 0.97, half, half * 0.97],
        level=True,
        round_ends=(False, False),
    )
    lid = Ellipsoid((0.0, top, back), (half * 0.97, 0.006, half * 0.97))
    legs = []
    for x in (-1, 1):
        for z in (-1, 1):
            foot = (x * half * 0.82, 0.012, back + z * half * 0.82)
            legs.append(
                Surface(limb([(x * half * 0.6, top - thick, back + z * half * 0.6), foot], [0.017, 0.013]), paint, 0.12)
            )
    return [Surface(seat, paint, 0.12), Surface(lid, paint, 0.12), *legs]


ACCESSORIES: dict[str, Callable[[Head, Trunk, Colour], list[Surface]]] = {
    "cap": cap,
    "knitted hat": beanie,
    "sun hat": sun_hat,
    "glasses": glasses,
    "scarf": scarf,
    "backpack": backpack,
}
HATS = ("cap", "knitted hat", "sun hat")
