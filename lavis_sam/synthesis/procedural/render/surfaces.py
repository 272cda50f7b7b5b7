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

from lavis_sam.synthesis.procedural.render.arrays import Array, cross, floats, points_at
from lavis_sam.synthesis.procedural.render.paint import Paint

Vector = tuple[float, float, float]
# (u, v, points) -> True where the surface is there; cuts necklines, hems and hairlines.
Trim = Callable[[Array, Array, Array], npt.NDArray[np.bool_]]

# Points -> metres outwards.
Bump = Callable[[Array], Array]

_UP = floats([0, 1, 0])
# A half ball's stations: how far out, and how wide, as shares of its radius.
_CAP_OUT = np.sin(np.linspace(0, np.pi / 2, 7, dtype=np.float32))[1:, None]
_CAP_RADIUS = np.sqrt(np.maximum(1 - _CAP_OUT**2, 1e-6))
# A skin whose ends are so narrow, compared with where it is widest, is closed.
_CLOSED = 0.1
COARSE = 17
_COARSE_STEPS = np.linspace(0, 1, COARSE, dtype=np.float32)


class Shape(Protocol):
    """Anything with a `point`.

    Attributes:
        outward: 1 where a closed skin's normal, the cross product of its ways along u and v, points out of it, -1 where
            it points in. Nobody sees the inner side of such a skin. 0 for what can be seen from both sides.
    """

    @property
    def outward(self) -> int: ...  # noqa: D102

    def point(self, u: Array, v: Array) -> Array:
        """Return points [..., 3] in metres."""
        ...


@dataclass(frozen=True)
class Surface:
    """A shape with what covers it.

    Attributes:
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

    @property
    def outward(self) -> int:
        """See `Shape`; one can look into what is cut open."""
        return 0 if self.trim is not None else self.shape.outward

    @functools.cached_property
    def coarse(self) -> Array:
        """[COARSE, COARSE, 3] a first look at the shape, to learn how large it appears."""
        return self.shape.point(_COARSE_STEPS[:, None], _COARSE_STEPS[None, :])


def unit(vector: Sequence[float] | Array) -> Array:
    """Return the vector [..., 3] with length 1."""
    array = np.asarray(vector, np.float32)
    # NumPy's own norm takes ten times as long on so short an axis.
    length = np.sqrt(np.einsum("...i,...i", array, array))
    return array / np.maximum(length, np.float32(1e-9))[..., None]


def turn_y(points: Array | Sequence[float], degrees: float) -> Array:
    """Turn points [..., 3] about the vertical axis; a positive angle turns the front (z) towards the right (x)."""
    angle = np.deg2rad(degrees)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    array = np.asarray(points, np.float32)
    x, y, z = array[..., 0], array[..., 1], array[..., 2]
    return points_at(x * cos + z * sin, y, z * cos - x * sin)


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
    outward = -1

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        return self.place(sphere(u, v))

    def place(self, directions: Array) -> Array:
        """Return points in the directions [..., 3] of the unit sphere."""
        return directions @ (floats(self.radii)[:, None] * self.frame) + floats(self.centre)


def sphere(u: Array, v: Array) -> Array:
    """Return the unit sphere: u goes around, 0 and 1 at the back, 0.5 in front; v from the top to the bottom."""
    around, down = 2 * np.pi * np.asarray(u, np.float32), np.pi * np.asarray(v, np.float32)
    ring = np.sin(down)
    return points_at(-ring * np.sin(around), np.cos(down), -ring * np.cos(around))


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
        stations = np.concatenate([line, sizes[:, None].repeat(2, axis=1) if sizes.ndim == 1 else sizes], axis=1)
        if smooth and len(line) > 2:
            stations = catmull_rom(stations)
            np.maximum(stations[:, 3:], np.float32(1e-4), out=stations[:, 3:])
        stations = _with_caps(stations, round_ends)
        line, sizes = stations[:, :3], stations[:, 3:]
        steps = np.diff(stations, axis=0)
        lengths = _length(steps[:, :3]) + _length(steps[:, 3:])
        self._stations = np.concatenate([[0], np.cumsum(np.maximum(lengths, 1e-6))]).astype(np.float32)
        self._stations /= self._stations[-1]
        sides, fronts = _frames(line, np.asarray(front, np.float32), level)
        self._squareness = squareness
        closed = sizes[[0, -1]].max() < _CLOSED * sizes.max()
        self.outward = (-1 if level and line[-1, 1] < line[0, 1] else 1) if closed else 0
        # One row a station: middle, side vector and front vector of the section, as long as the section is wide.
        self._table = np.concatenate([line, sides * sizes[:, :1], fronts * sizes[:, 1:]], axis=1).astype(np.float32)

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        around = 2 * np.pi * np.asarray(u, np.float32)
        side, front = -np.sin(around), -np.cos(around)
        if self._squareness != 2.0:
            power = self._squareness
            out = (np.abs(side) ** power + np.abs(front) ** power) ** (-1 / power)
            side, front = side * out, front * out
        row = self._at(np.asarray(v, np.float32))
        return row[..., :3] + row[..., 3:6] * side[..., None] + row[..., 6:] * front[..., None]

    def _at(self, along: Array) -> Array:
        station = np.interp(along, self._stations, np.arange(len(self._stations)))
        index = np.minimum(station.astype(np.intp), len(self._stations) - 2)
        share = (station - index)[..., None].astype(np.float32)
        return self._table[index] * (1 - share) + self._table[index + 1] * share


def limb(centres: npt.ArrayLike, radii: npt.ArrayLike, **options: object) -> Loft:
    """Return a round bar with round ends."""
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
        """Form one face.

        Args:
            face: 0-5: -x, +x, -y, +y, -z, +z.
            centre: Metres.
            half: Half the size along each axis.
            radius: Metres, of the rounded edges; at most nearly the smallest half.
            bulge: Metres that the middle of every face stands out, as on a cushion.
            frame: Rows: the box's own axes.
        """
        self._axis, self._sign = face // 2, 1.0 if face % 2 else -1.0
        # With u along x and v along z the normal points down, not up.
        self.outward = int(self._sign) * (-1 if self._axis == 1 else 1)
        self._centre, self._half = np.asarray(centre, np.float32), np.asarray(half, np.float32)
        self._radius = np.float32(min(radius, float(self._half.min()) * 0.98))
        self._bulge = bulge
        self._frame = np.eye(3, dtype=np.float32) if frame is None else np.asarray(frame, np.float32)

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        first, second = [axis for axis in range(3) if axis != self._axis]
        a, b = np.asarray(u, np.float32) * 2 - 1, np.asarray(v, np.float32) * 2 - 1
        core = self._half - self._radius
        core_a, core_b = (np.clip(c * self._half[i], -core[i], core[i]) for c, i in ((a, first), (b, second)))
        over_a, over_b = a * self._half[first] - core_a, b * self._half[second] - core_b
        # From the core it is as far as the radius everywhere.
        share = self._radius / np.sqrt(over_a**2 + over_b**2 + self._radius**2)
        out = core[self._axis] + self._radius * share
        if self._bulge:
            out = out + self._bulge * np.maximum((1 - a**2) * (1 - b**2), 0) ** 0.7
        place = np.empty((*share.shape, 3), np.float32)
        place[..., first], place[..., second] = core_a + over_a * share, core_b + over_b * share
        place[..., self._axis] = self._sign * out
        return place @ self._frame + self._centre


def box_faces(
    centre: npt.ArrayLike, half: npt.ArrayLike, *, radius: float = 0.006, bulge: float = 0.0, frame: Array | None = None
) -> list[RoundedBox]:
    """Return all six faces of a box; see `RoundedBox`."""
    return [RoundedBox(face, centre, half, radius=radius, bulge=bulge, frame=frame) for face in range(6)]


@dataclass(frozen=True)
class Sheet:
    """A patch between four corners, bent by `sag` metres along its normal.

    Attributes:
        corners: [4, 3]: at (u, v) = (0, 0), (1, 0), (1, 1), (0, 1).
        sag: Metres.
    """

    corners: Array
    sag: float = 0.0
    outward = 0

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        a, b = (np.asarray(value, np.float32)[..., None] for value in (u, v))
        low, first, far, second = np.asarray(self.corners, np.float32)
        flat = low * (1 - a) * (1 - b) + first * a * (1 - b) + far * a * b + second * (1 - a) * b
        bend = 16 * a * (1 - a) * b * (1 - b) * self.sag
        return (flat + bend * unit(cross(first - low, second - low))).astype(np.float32)


@dataclass(frozen=True)
class Changed:
    """A shape pushed about by a function.

    Attributes:
        change: (u, v, points) -> points.
    """

    shape: Shape
    change: Callable[[Array, Array, Array], Array]

    @property
    def outward(self) -> int:
        """See `Shape`."""
        return self.shape.outward

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        return self.change(u, v, self.shape.point(u, v))


def catmull_rom(values: Array) -> Array:
    """Return a smooth curve through `values` [K, D]: [12 (K - 1) + 1, D], every twelfth of which is one of them."""
    padded = np.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    return _curve_shares(len(values)) @ padded


@functools.lru_cache(maxsize=64)
def _curve_shares(count: int) -> Array:
    """Return [12 (K - 1) + 1, K + 2]: share of each of the padded values in each point of a curve; never written to."""
    at = np.linspace(0, count - 1, 12 * (count - 1) + 1)
    index = np.minimum(at.astype(int), count - 2)
    t = at - index
    near = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1)
    shares = np.zeros((len(at), count + 2), np.float32)
    np.put_along_axis(shares, index[:, None] + np.arange(4), near / 2, axis=1)
    return shares


def _with_caps(stations: Array, ends: tuple[bool, bool]) -> Array:
    """Return stations [K, 5] with half balls at their ends: further ones whose radius follows a quarter circle."""
    parts = [stations]
    if ends[0]:
        parts.insert(0, _cap(stations[0], stations[1])[::-1])
    if ends[1]:
        parts.append(_cap(stations[-1], stations[-2]))
    return np.concatenate(parts)


def _cap(last: Array, before: Array) -> Array:
    """Return [6, 5]: the stations that close the end at `last`."""
    way = unit(last[:3] - before[:3]) * last[3:].mean()
    return np.concatenate([last[:3] + _CAP_OUT * way, last[3:] * _CAP_RADIUS], axis=1)


def _frames(line: Array, front: Array, level: bool) -> tuple[Array, Array]:
    """Return the side and front axis of every section."""
    if level:
        ahead = unit(front)
        return np.broadcast_to(cross(_UP, ahead), line.shape), np.broadcast_to(ahead, line.shape)
    ahead = np.empty_like(line)
    ahead[0], ahead[1:-1], ahead[-1] = line[1] - line[0], line[2:] - line[:-2], line[-1] - line[-2]
    ahead = unit(ahead)
    fronts = front - ahead * (ahead @ front)[:, None]
    # Where the line runs along `front`, "up" takes its place.
    instead = _UP - ahead * (ahead @ _UP)[:, None]
    fronts = unit(np.where((_length(fronts) < 0.15)[:, None], instead, fronts))
    return cross(ahead, fronts), fronts


def _length(vectors: Array) -> Array:
    """Return lengths [n] of vectors [n, D]; NumPy's own norm takes ten times as long on so short an axis."""
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
