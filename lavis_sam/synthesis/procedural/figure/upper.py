"""What is worn on the upper body."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lavis_sam.synthesis.procedural.figure.fabric import Fabric, folds
from lavis_sam.synthesis.procedural.figure.limbs import arm_path
from lavis_sam.synthesis.procedural.figure.skeleton import Skeleton
from lavis_sam.synthesis.procedural.figure.trunk import Trunk
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.paint import linear, mixed, plain
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Loft, Sheet, Surface, Trim, limb

WHITE = Fabric((240, 240, 238))
# Places on an arm (1 elbow, 2 wrist) where sleeves end.
SHORT, LONG = 0.62, 1.95


def sleeve(skeleton: Skeleton, side: int, fabric: Fabric, until: float, room: float, *, cuff: float = 0.0) -> Surface:
    """Return one sleeve, open at its end."""
    centres, radii = arm_path(skeleton, side, until, room)
    if until < 1:  # Short sleeves stand off.
        radii = radii + np.linspace(0, 0.008, len(radii), dtype=np.float32)
    shape = Loft(centres, radii, round_ends=(True, False))
    length = float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum())
    paint = fabric.paint(0.28, length + 0.05, bands=cuff, ends="high")
    return Surface(shape, paint, fabric.gloss, bump=folds(0.0025, (0.12, 0.07, 0.12), seed=5 + side))


def sleeves(skeleton: Skeleton, fabric: Fabric, until: float, room: float, *, cuff: float = 0.0) -> list[Surface]:
    """Return both sleeves."""
    return [sleeve(skeleton, side, fabric, until, room, cuff=cuff) for side in (-1, 1)]


def body_of(
    trunk: Trunk,
    fabric: Fabric,
    low: float,
    high: float,
    room: float,
    *,
    trim: Trim | None = None,
    flare: float = 0.0,
    flat_waist: float = 0.5,
    hem: float = 0.0,
) -> Surface:
    """Return the part of a garment that covers the trunk; see `Trunk.shape`."""
    shape = trunk.shape(low, high, room, flare=flare, flat_waist=flat_waist)
    length = trunk.height_of(high) - trunk.height_of(low)
    around = 5.2 * trunk.skeleton.build.chest[0]
    paint = fabric.paint(around, length + 0.06, bands=hem, ends="low")
    return Surface(shape, paint, fabric.gloss, trim=trim, bump=folds())


def neckline(trunk: Trunk, deep: float, wide: float, pointed: bool = False) -> Trim:
    """Return a trim that cuts out a neckline.

    Args:
        deep: Metres below the collar, in front.
        wide: Half its width in metres.
        pointed: V-shaped instead of round.
    """
    top = trunk.height_of(1.035)

    def there(u: Array, v: Array, points: Array) -> Array:
        share = np.clip(np.abs(points[..., 0]) / wide, 0, 1)
        curve = 1 - share if pointed else np.sqrt(1 - share**2)
        front = points[..., 2] > trunk.skeleton.at("collar")[2]
        return points[..., 1] < np.where(front, top - deep * curve, top + 0.006)

    return there


def t_shirt(skeleton: Skeleton, trunk: Trunk, fabric: Fabric, low: float = -0.03) -> list[Surface]:
    """Return a shirt with short sleeves and a round neck."""
    body = body_of(trunk, fabric, low, 1.065, 0.013, trim=neckline(trunk, 0.030, 0.075), flare=0.008)
    return [body, *sleeves(skeleton, fabric, SHORT, 0.015)]


def tank_top(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a top with straps instead of sleeves."""
    edge, strap = trunk.height_of(0.83), skeleton.build.shoulders * 0.50
    cut = neckline(trunk, 0.085, strap * 0.98)
    limit = strap + 0.020 * skeleton.build.scale

    def there(u: Array, v: Array, points: Array) -> Array:
        out = np.clip((np.abs(points[..., 0]) - limit) / (skeleton.build.shoulders * 0.6), 0, 1)
        return cut(u, v, points) & ((np.abs(points[..., 0]) < limit) | (points[..., 1] < edge - 0.10 * out**0.5 + 0.06))

    return [body_of(trunk, fabric, 0.0, 1.065, 0.011, trim=there, flat_waist=0.3)]


def shirt(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a shirt with buttons, a collar with two wings, long sleeves with cuffs."""
    body = body_of(trunk, fabric, -0.07, 1.07, 0.014, trim=neckline(trunk, 0.040, 0.040, pointed=True), flare=0.006)
    cloth = replace(fabric, colour=mixed(fabric.colour, (255, 255, 255), 0.08), pattern="plain")
    return [
        body,
        *_placket(trunk, fabric, -0.05, 0.99),
        *sleeves(skeleton, fabric, LONG, 0.013, cuff=0.035),
        *collar_wings(trunk, cloth, 0.016),
    ]


def polo(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a shirt with a collar with two wings, and short sleeves."""
    body = body_of(trunk, fabric, -0.03, 1.07, 0.013, trim=neckline(trunk, 0.045, 0.036, pointed=True), flare=0.006)
    cloth = replace(fabric, colour=mixed(fabric.colour, (255, 255, 255), 0.10), pattern="plain")
    placket = _placket(trunk, fabric, 0.76, 0.98)
    return [body, *placket, *sleeves(skeleton, fabric, SHORT, 0.015, cuff=0.018), *collar_wings(trunk, cloth, 0.016)]


def sweater(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a thick sweater, with ribbed hem, cuffs and neck."""
    body = body_of(trunk, fabric, -0.02, 1.065, 0.022, flat_waist=0.75, hem=0.045)
    ring = Fabric(mixed(fabric.colour, (0, 0, 0), 0.15))
    return [body, *sleeves(skeleton, fabric, LONG, 0.022, cuff=0.04), body_of(trunk, ring, 1.02, 1.10, 0.034)]


def hoodie(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a sweater with a hood, strings and a pouch."""
    body = body_of(trunk, fabric, -0.05, 1.065, 0.025, flat_waist=0.8, hem=0.045)
    pouch_cloth = replace(fabric, colour=mixed(fabric.colour, (0, 0, 0), 0.10))
    half, low, high = skeleton.build.waist[0] * 0.86, trunk.height_of(0.12), trunk.height_of(0.40)

    def in_front(u: Array, v: Array, points: Array) -> Array:
        share = np.clip((points[..., 1] - low) / (high - low), 0, 1)
        edge = half * (1 - 0.38 * np.clip((share - 0.35) / 0.65, 0, 1))
        return (np.abs(points[..., 0]) < edge) & (points[..., 2] > 0)

    pouch = body_of(trunk, pouch_cloth, 0.10, 0.42, 0.033, trim=in_front, flat_waist=0.8)
    return [body, pouch, *sleeves(skeleton, fabric, LONG, 0.024, cuff=0.04), *_hood(skeleton, trunk, fabric)]


def _hood(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    centre, (wide, deep) = trunk.section(1.02)
    size = skeleton.build.scale
    around = np.deg2rad(np.linspace(-152, 152, 15))
    ring = [
        centre
        + floats(
            [
                np.sin(angle) * (wide * 0.92 + 0.012),
                0.030 * size * (0.15 + np.cos(angle / 2)) - 0.012 * size,
                -np.cos(angle) * (deep + 0.018) - 0.012,
            ]
        )
        for angle in around
    ]
    thick = (0.022 + 0.024 * np.cos(around / 2) ** 2) * size
    cloth = replace(fabric, pattern="plain", colour=mixed(fabric.colour, (0, 0, 0), 0.06))
    hood = Surface(limb(ring, thick), cloth.paint(0.2, 0.4), bump=folds(0.003, (0.06, 0.06, 0.06)))
    strings = []
    for side in (-1, 1):
        start = ring[0 if side < 0 else -1] + floats([0, 0, 0.02])
        line = [start, start + floats([side * 0.008, -0.06, 0.022]), start + floats([side * 0.004, -0.15, 0.02])]
        strings.append(Surface(limb(floats(line) + floats([0, 0, 0.012]), [0.0042] * 3), plain((236, 234, 228))))
    return [hood, *strings]


def jacket(skeleton: Skeleton, trunk: Trunk, fabric: Fabric) -> list[Surface]:
    """Return a jacket, open in front over a white t-shirt, with a collar."""
    inner = body_of(trunk, WHITE, 0.0, 1.065, 0.012, trim=neckline(trunk, 0.035, 0.075), flat_waist=0.3)
    outer = body_of(
        trunk, fabric, -0.10, 1.075, 0.028, trim=open_front(trunk, 0.055, 0.020), flat_waist=0.75, hem=0.035
    )
    cloth = replace(fabric, pattern="plain", colour=mixed(fabric.colour, (0, 0, 0), 0.14))
    return [inner, outer, *sleeves(skeleton, fabric, LONG, 0.025, cuff=0.035), *lapels(trunk, cloth, 0.030)]


def open_front(trunk: Trunk, low: float, high: float) -> Trim:
    """Return a trim that leaves a gap in front: half its width in metres at the hem and at the chest."""
    bottom, top = trunk.height_of(-0.1), trunk.height_of(0.80)
    neck = trunk.height_of(1.0)

    def there(u: Array, v: Array, points: Array) -> Array:
        share = np.clip((points[..., 1] - bottom) / (top - bottom), 0, 1)
        above = np.clip((points[..., 1] - top) / (neck - top), 0, 1)
        half = low + (high - low) * share + 0.035 * above
        return (np.abs(points[..., 0]) > half) | (points[..., 2] < 0)

    return there


def collar_wings(trunk: Trunk, fabric: Fabric, room: float) -> list[Surface]:
    """Return a folded collar: a band around the neck and two wings in front."""
    size = trunk.skeleton.build.scale
    centre, (wide, deep) = trunk.section(1.045)
    wings = []
    for side in (-1, 1):
        x = float(side)
        corners = centre + floats(
            [
                [x * 0.002, -0.008, deep + room + 0.008],
                [x * wide * 0.92, 0.030 * size, deep * 0.22 + room],
                [x * (wide * 1.08), -0.006 * size, deep * 0.42 + room + 0.008],
                [x * 0.042 * size, -0.058 * size, deep + room + 0.022],
            ]
        )
        wings.append(Surface(Sheet(corners, 0.006 * side), fabric.paint(0.08, 0.08)))
    band = trunk.shape(1.02, 1.085, 0.030)
    return [
        *wings,
        Surface(band, fabric.paint(0.4, 0.05), trim=lambda u, v, points: points[..., 2] < centre[2] + deep * 0.5),
    ]


def lapels(trunk: Trunk, fabric: Fabric, room: float) -> list[Surface]:
    """Return the turned-back fronts of a jacket."""
    size = trunk.skeleton.build.scale
    neck, (wide, deep) = trunk.section(1.04)
    chest, (_, chest_deep) = trunk.section(0.70)
    bust = trunk.skeleton.build.bust * 0.7
    pieces = []
    for side in (-1, 1):
        x = float(side)
        corners = floats(
            [
                neck + floats([x * wide * 0.62, 0.020 * size, deep * 0.6 + room]),
                neck + floats([x * wide * 1.12, 0.0, deep * 0.35 + room + 0.012]),
                neck + floats([x * wide * 1.25, -0.075 * size, deep + room + 0.012]),
                chest + floats([x * 0.026, 0.0, chest_deep + room + 0.006 + bust]),
            ]
        )
        pieces.append(Surface(Sheet(corners, 0.004 * side), fabric.paint(0.1, 0.1)))
    band = trunk.shape(1.015, 1.085, 0.045)
    return [
        *pieces,
        Surface(band, fabric.paint(0.4, 0.05), trim=lambda u, v, points: points[..., 2] < neck[2] + deep * 0.4),
    ]


def _placket(trunk: Trunk, fabric: Fabric, low: float, high: float) -> list[Surface]:
    """Return a strip down the front with buttons."""
    strip_cloth = replace(fabric, pattern="plain", colour=mixed(fabric.colour, (0, 0, 0), 0.10))
    flat = 0.5
    shape = trunk.shape(low, high, 0.0165, flat_waist=flat)
    pieces = [
        Surface(
            shape,
            strip_cloth.paint(0.03, 0.5),
            trim=lambda u, v, points: (np.abs(points[..., 0]) < 0.014) & (points[..., 2] > 0),
            lift=0.004,
        )
    ]
    pale = plain((236, 234, 226)) if sum(linear(fabric.colour)) < 1.6 else plain((130, 128, 124))
    for share in np.linspace(0.12, 0.88, max(2, round((high - low) * 5))):
        middle = shape.point(floats([0.5]), floats([share]))[0] + floats([0, 0, 0.004])
        pieces.append(Surface(Ellipsoid(tuple(middle), (0.0075, 0.0075, 0.003)), pale, 0.2))
    return pieces


Maker = Callable[[Skeleton, Trunk, Fabric], list[Surface]]
UPPER: dict[str, Maker] = {
    "t-shirt": t_shirt,
    "tank top": tank_top,
    "shirt": shirt,
    "polo shirt": polo,
    "sweater": sweater,
    "hoodie": hoodie,
    "jacket": jacket,
}
