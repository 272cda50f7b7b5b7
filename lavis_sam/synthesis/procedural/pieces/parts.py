"""What all pieces are made of: boards, legs, cushions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import floats
from lavis_sam.synthesis.procedural.render.noise import ripples
from lavis_sam.synthesis.procedural.render.paint import Colour, Paint, plain, wood, woven
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Loft, Surface, box_faces, limb

# (left, right, back, front) in metres.
Foot = tuple[float, float, float, float]
Built = tuple[list[Surface], list[Foot]]
Place = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """How a piece looks.

    Attributes:
        material: "fabric", "leather", "wood", "painted" or "metal".
        wooden_legs: Whether legs show grain.
        variant: Index of its form.
        size: Factors of width, height and depth.
    """

    main: Colour
    legs: Colour
    accent: Colour
    material: str
    wooden_legs: bool
    variant: int
    size: tuple[float, float, float]
    seed: int

    def cover(self, along: int = 0) -> Paint:
        """Return the paint of the large surfaces; `along` is the axis of the grain."""
        if self.material == "wood":
            return wood(self.main, along=along, seed=self.seed)
        return woven(self.main, seed=self.seed) if self.material == "fabric" else plain(self.main)

    def frame(self, along: int = 1) -> Paint:
        """Return the paint of legs and frame; `along` as in `cover`."""
        return wood(self.legs, along=along, seed=self.seed + 1) if self.wooden_legs else plain(self.legs)

    @property
    def gloss(self) -> float:
        """Of the large surfaces."""
        return {"leather": 0.22, "painted": 0.10, "metal": 0.30, "wood": 0.06}.get(self.material, 0.0)

    @property
    def leg_gloss(self) -> float:
        """Of legs and frame."""
        return 0.08 if self.wooden_legs else 0.45

    def board(self, low: Place, high: Place, *, along: int = 0, radius: float = 0.006) -> list[Surface]:
        """Return a box between two corners in the cover of the large surfaces."""
        return board(low, high, self.cover(along), self.gloss, radius)

    def cushion(self, low: Place, high: Place, **form: float) -> list[Surface]:
        """Return a soft box in that cover; see `cushion`."""
        return cushion(low, high, self.cover(), self.gloss, **form)

    def bar(self, points: Sequence[Place], radii: Sequence[float], *, along: int = 1) -> Surface:
        """Return a round bar in the paint of legs and frame."""
        return bar(points, radii, self.frame(along), self.leg_gloss)


@dataclass(frozen=True)
class Piece:
    """A kind of furniture.

    Attributes:
        width: Its largest horizontal size in metres.
        height: Metres.
        variants: What is special about each of its forms; "" when nothing is.
        accented: Whether it has parts in a second colour.
    """

    build: Callable[[Look], Built]
    width: float
    height: float
    materials: tuple[str, ...]
    variants: tuple[str, ...] = ("",)
    accented: bool = False


def board(low: Place, high: Place, paint: Paint, gloss: float = 0.0, radius: float = 0.006) -> list[Surface]:
    """Return a box between two corners."""
    near, far = floats(low), floats(high)
    return [Surface(face, paint, gloss) for face in box_faces((near + far) / 2, (far - near) / 2, radius=radius)]


def cushion(
    low: Place,
    high: Place,
    paint: Paint,
    gloss: float = 0.0,
    *,
    radius: float = 0.05,
    bulge: float = 0.02,
    tilt: float = 0.0,
) -> list[Surface]:
    """Return a soft box between two corners; `tilt` degrees lean its top backwards."""
    near, far = floats(low), floats(high)
    angle = np.deg2rad(tilt)
    frame = floats([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    faces = box_faces((near + far) / 2, (far - near) / 2, radius=radius, bulge=bulge, frame=frame)
    return [Surface(face, paint, gloss, bump=lambda points: 0.0016 * ripples(points, 0.28, 4)) for face in faces]


def bar(points: Sequence[Place], radii: Sequence[float], paint: Paint, gloss: float = 0.0) -> Surface:
    """Return a round bar."""
    return Surface(limb(points, radii), paint, gloss)


def ball(centre: Place, radius: float, paint: Paint, gloss: float = 0.0) -> Surface:
    """Return a ball."""
    return Surface(Ellipsoid(centre, (radius,) * 3), paint, gloss)


def column(x: float, z: float, stations: Sequence[tuple[float, float]], paint: Paint, gloss: float = 0.0) -> Surface:
    """Return a turned, upright body: (height, radius) from bottom to top, closed at both ends."""
    heights, radii = zip(*stations, strict=True)
    line = [(x, height, z) for height in (heights[0], *heights, heights[-1])]
    return Surface(Loft(line, [0.002, *radii, 0.002], level=True, smooth=False), paint, gloss)


def four_legs(
    look: Look,
    half_x: float,
    half_z: float,
    top: float,
    *,
    radius: float = 0.022,
    splay: float = 0.0,
    thin: float = 0.7,
) -> tuple[list[Surface], list[Foot]]:
    """Return legs under the corners, `splay` metres further out at the ground."""
    surfaces, feet = [], []
    for x in (-1, 1):
        for z in (-1, 1):
            foot = (x * (half_x + splay), radius * thin, z * (half_z + splay))
            surfaces.append(
                bar([(x * half_x, top, z * half_z), foot], [radius, radius * thin], look.frame(), look.leg_gloss)
            )
            feet.append((foot[0] - radius, foot[0] + radius, foot[2] - radius, foot[2] + radius))
    return surfaces, feet


def square_legs(look: Look, half_x: float, half_z: float, top: float, thick: float, paint: Paint) -> Built:
    """Return square legs under the corners; `thick` is half their width."""
    surfaces, feet = [], []
    for x in (-1, 1):
        for z in (-1, 1):
            cx, cz = x * (half_x - thick), z * (half_z - thick)
            surfaces += board((cx - thick, 0, cz - thick), (cx + thick, top, cz + thick), paint, look.gloss)
            feet.append((cx - thick, cx + thick, cz - thick, cz + thick))
    return surfaces, feet


def scaled(values: Place, look: Look) -> Place:
    """Return width, height and depth with the piece's own factors."""
    width, height, depth = (value * factor for value, factor in zip(values, look.size, strict=True))
    return width, height, depth
