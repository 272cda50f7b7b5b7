"""Shapes as functions of two parameters, u and v in [0, 1].

A shape's `point` takes arrays of u and v that broadcast against each other and gives points in metres. Normals come
from its differences, so that a shape is one function and nothing more.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.backends.render.arrays import Array, floats
from lavis_sam.synthesis.backends.render.paint import Paint

Vector = tuple[float, float, float]
# (u, v, points) -> True where the surface is there; cuts necklines, hems and hairlines.
Trim = Callable[[Array, Array, Array], npt.NDArray[np.bool_]]

# Points -> metres outwards.
Bump = Callable[[Array], Array]

_CAP_STATIONS = 7
COARSE = 17


class Shape(Protocol):
    """Anything with a `point`."""

    def point(self, u: Array, v: Array) -> Array:
        """[..., 3] in metres."""
        ...


@dataclass(frozen=True)
class Surface:
    """A shape with what covers it.

    Attributes:
        shape: Where it is.
        paint: Its colour.
        gloss: Strength of the highlight: 0 cloth, 0.15 skin and hair, 0.5 lacquer.
        trim: Where it exists; None means everywhere.
        lift: Metres by which it wins over what is at the same place, such as a pocket on trousers.
        shadows: Whether it throws shadows.
        bump: Points [n, 3] -> metres by which the surface seems raised: folds, weave, strands.
    """

    shape: Shape
    paint: Paint
    gloss: float = 0.0
    trim: Trim | None = None
    lift: float = 0.0
    shadows: bool = True
    bump: Bump | None = None

    @functools.cached_property
    def coarse(self) -> Array:
        """[COARSE, COARSE, 3] a first look at the shape, to learn how large it appears."""
        steps = np.linspace(0, 1, COARSE, dtype=np.float32)
        return self.shape.point(steps[:, None], steps[None, :])


def unit(vector: Sequence[float] | Array) -> Array:
    """The vector [..., 3] with length 1."""
    array = np.asarray(vector, np.float32)
    return array / np.maximum(np.linalg.norm(array, axis=-1, keepdims=True), 1e-9)


def turn_y(points: Array | Sequence[float], degrees: float) -> Array:
    """Points [..., 3] turned about the vertical axis; a positive angle turns the front (z) towards the right (x)."""
    angle = np.deg2rad(degrees)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    array = np.asarray(points, np.float32)
    x, y, z = array[..., 0], array[..., 1], array[..., 2]
    return np.stack([x * cos + z * sin, y, z * cos - x * sin], axis=-1)


@dataclass(frozen=True)
class Turned:
    """A shape turned about the vertical axis through `about`, then moved."""

    shape: Shape
    degrees: float
    move: Vector = (0.0, 0.0, 0.0)

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        return turn_y(self.shape.point(u, v), self.degrees) + floats(self.move)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid; v runs from its top to its bottom.

    Attributes:
        centre: Metres.
        radii: Along its side, up and front axes.
        frame: Rows: side, up and front axis.
    """

    centre: Vector
    radii: Vector
    frame: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        return self.place(sphere(u, v))

    def place(self, directions: Array) -> Array:
        """Points in the directions [..., 3] of the unit sphere."""
        return (directions * floats(self.radii)) @ self.frame + floats(self.centre)


def sphere(u: Array, v: Array) -> Array:
    """The unit sphere: u goes around, 0 and 1 at the back, 0.5 in front; v from the top to the bottom."""
    around, down = 2 * np.pi * np.asarray(u, np.float32), np.pi * np.asarray(v, np.float32)
    ring = np.sin(down)
    parts = np.broadcast_arrays(-ring * np.sin(around), np.cos(down), -ring * np.cos(around))
    return np.stack(parts, axis=-1).astype(np.float32)


class Loft:
    """A skin over cross sections along a line: limbs, trunks, skirts, hair.

    u goes around a section, 0 and 1 at the back, 0.5 in front; v goes along the line. A section is a superellipse.
    """

    def __init__(
        self,
        centres: npt.ArrayLike,
        radii: npt.ArrayLike,
        *,
        front: npt.ArrayLike = (0.0, 0.0, 1.0),
        squareness: float = 2.0,
        round_ends: tuple[bool, bool] = (False, False),
        smooth: bool = True,
        level: bool = False,
    ) -> None:
        """Lay sections along a line.

        Args:
            centres: [K, 3] metres.
            radii: [K] or [K, 2]: to the side and to the front.
            front: What the front of every section faces, as far as the line allows.
            squareness: 2 is an ellipse, more comes closer to a rectangle.
            round_ends: Close the beginning and the end with a half ball.
            smooth: Curves through the sections instead of straight pieces.
            level: Sections stay horizontal, whatever the line does (trunks, skirts).
        """
        line = np.asarray(centres, np.float32)
        sizes = np.asarray(radii, np.float32)
        sizes = np.stack([sizes, sizes], axis=-1) if sizes.ndim == 1 else sizes
        if smooth and len(line) > 2:
            dense = np.linspace(0, len(line) - 1, 12 * (len(line) - 1) + 1)
            line, sizes = catmull_rom(line, dense), np.maximum(catmull_rom(sizes, dense), 1e-4)
        line, sizes = _with_caps(line, sizes, round_ends)
        lengths = np.linalg.norm(np.diff(line, axis=0), axis=1) + np.linalg.norm(np.diff(sizes, axis=0), axis=1)
        stations = np.concatenate([[0], np.cumsum(np.maximum(lengths, 1e-6))]).astype(np.float32)
        self._stations = stations / stations[-1]
        sides, fronts = _frames(line, np.asarray(front, np.float32), level)
        self._squareness = squareness
        # One row a station: middle, side vector and front vector of the section, as long as the section is wide.
        self._table = np.concatenate([line, sides * sizes[:, :1], fronts * sizes[:, 1:]], axis=1).astype(np.float32)

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        along = np.asarray(v, np.float32)
        around = 2 * np.pi * np.asarray(u, np.float32)
        side, front = -np.sin(around), -np.cos(around)
        if self._squareness != 2.0:
            power = self._squareness
            out = (np.abs(side) ** power + np.abs(front) ** power) ** (-1 / power)
            side, front = side * out, front * out
        row = self._at(along)
        return row[..., :3] + row[..., 3:6] * side[..., None] + row[..., 6:] * front[..., None]

    def _at(self, along: Array) -> Array:
        index = np.clip(np.searchsorted(self._stations, along, side="right") - 1, 0, len(self._stations) - 2)
        low, high = self._stations[index], self._stations[index + 1]
        share = np.clip((along - low) / (high - low), 0, 1)[..., None].astype(np.float32)
        return self._table[index] * (1 - share) + self._table[index + 1] * share


def limb(centres: npt.ArrayLike, radii: npt.ArrayLike, **options: object) -> Loft:
    """A round bar with round ends."""
    return Loft(centres, radii, round_ends=(True, True), **options)  # type: ignore[arg-type]


class RoundedBox:
    """A box with rounded edges, one of its six faces a surface; `box_faces` gives all six."""

    def __init__(
        self,
        face: int,
        centre: npt.ArrayLike,
        half: npt.ArrayLike,
        *,
        radius: float,
        bulge: float = 0.0,
        frame: Array | None = None,
    ) -> None:
        """One face.

        Args:
            face: 0-5: -x, +x, -y, +y, -z, +z.
            centre: Metres.
            half: Half the size along each axis.
            radius: Of the edges.
            bulge: Metres that the middle of every face stands out, as on a cushion.
            frame: Rows: the box's own axes.
        """
        self._axis, self._sign = face // 2, 1.0 if face % 2 else -1.0
        self._centre, self._half = np.asarray(centre, np.float32), np.asarray(half, np.float32)
        self._radius = min(radius, float(self._half.min()) * 0.98)
        self._bulge = bulge
        self._frame = np.eye(3, dtype=np.float32) if frame is None else np.asarray(frame, np.float32)

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        first, second = [axis for axis in range(3) if axis != self._axis]
        a, b = np.broadcast_arrays(np.asarray(u, np.float32) * 2 - 1, np.asarray(v, np.float32) * 2 - 1)
        on_cube = np.empty((*a.shape, 3), np.float32)
        on_cube[..., self._axis] = self._sign
        on_cube[..., first], on_cube[..., second] = a, b
        on_cube *= self._half
        core = np.clip(on_cube, self._radius - self._half, self._half - self._radius)
        outward = unit(on_cube - core)
        place = core + outward * np.float32(self._radius)
        if self._bulge:
            place[..., self._axis] += self._sign * self._bulge * np.maximum((1 - a**2) * (1 - b**2), 0) ** 0.7
        return place @ self._frame + self._centre


def box_faces(
    centre: npt.ArrayLike,
    half: npt.ArrayLike,
    *,
    radius: float = 0.006,
    bulge: float = 0.0,
    frame: Array | None = None,
) -> list[RoundedBox]:
    """All six faces of a box; see `RoundedBox`."""
    return [RoundedBox(face, centre, half, radius=radius, bulge=bulge, frame=frame) for face in range(6)]


@dataclass(frozen=True)
class Disc:
    """A flat ellipse; v runs from its middle to its edge.

    Attributes:
        centre: Metres.
        side: From the middle to the edge, one way.
        front: The same, the other way.
    """

    centre: Vector
    side: Vector
    front: Vector

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        around = 2 * np.pi * np.asarray(u, np.float32)
        out = np.asarray(v, np.float32)
        side, front = (np.cos(around) * out)[..., None], (np.sin(around) * out)[..., None]
        return floats(self.centre) + side * floats(self.side) + front * floats(self.front)


@dataclass(frozen=True)
class Sheet:
    """A patch between four corners, bent by `sag` metres along its normal.

    Attributes:
        corners: [4, 3]: at (u, v) = (0, 0), (1, 0), (1, 1), (0, 1).
        sag: Metres.
    """

    corners: Array
    sag: float = 0.0

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        a, b = (np.asarray(value, np.float32)[..., None] for value in (u, v))
        low, first, far, second = np.asarray(self.corners, np.float32)
        flat = low * (1 - a) * (1 - b) + first * a * (1 - b) + far * a * b + second * (1 - a) * b
        bend = 16 * a * (1 - a) * b * (1 - b) * self.sag
        return (flat + bend * unit(np.cross(first - low, second - low))).astype(np.float32)


@dataclass(frozen=True)
class Changed:
    """A shape pushed about by a function.

    Attributes:
        shape: The shape.
        change: (u, v, points) -> points.
    """

    shape: Shape
    change: Callable[[Array, Array, Array], Array]

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        return self.change(u, v, self.shape.point(u, v))


def catmull_rom(values: Array, at: Array) -> Array:
    """A smooth curve through `values` [K, D], at the places `at` in [0, K - 1]."""
    padded = np.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    index = np.minimum(np.floor(at).astype(int), len(values) - 2)
    t = (at - index)[:, None].astype(np.float32)
    a, b, c, d = (padded[index + offset] for offset in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3)


def _with_caps(line: Array, sizes: Array, ends: tuple[bool, bool]) -> tuple[Array, Array]:
    """Half balls at the ends: stations whose radius follows a quarter circle."""
    share = np.sin(np.linspace(0, np.pi / 2, _CAP_STATIONS, dtype=np.float32))[1:]
    if ends[0]:
        way, reach = unit(line[0] - line[1]), sizes[0].mean()
        line = np.concatenate([(line[0] + way * (share * reach)[:, None])[::-1], line])
        sizes = np.concatenate([(sizes[0] * np.sqrt(np.maximum(1 - share**2, 1e-6))[:, None])[::-1], sizes])
    if ends[1]:
        way, reach = unit(line[-1] - line[-2]), sizes[-1].mean()
        line = np.concatenate([line, line[-1] + way * (share * reach)[:, None]])
        sizes = np.concatenate([sizes, sizes[-1] * np.sqrt(np.maximum(1 - share**2, 1e-6))[:, None]])
    return line.astype(np.float32), sizes.astype(np.float32)


def _frames(line: Array, front: Array, level: bool) -> tuple[Array, Array]:
    """Side and front axis of every section."""
    if level:
        fronts = np.broadcast_to(unit(front), line.shape)
        sides = np.cross(floats([0, 1, 0]), fronts)
        return sides.astype(np.float32), fronts.astype(np.float32)
    ahead = unit(np.gradient(line, axis=0))
    fronts = front - ahead * (ahead @ front)[:, None]
    # Where the line runs along `front`, "up" takes its place.
    up = floats([0, 1, 0])
    instead = up - ahead * (ahead @ up)[:, None]
    short = np.linalg.norm(fronts, axis=1, keepdims=True) < 0.15
    fronts = unit(np.where(short, instead, fronts))
    return np.cross(fronts, ahead).astype(np.float32) * -1, fronts.astype(np.float32)
