"""Which surface is in front, pixel by pixel: cells are sampled more densely than pixels, and the nearest sample wins.

The samples of all surfaces go through a few large array operations. A sample is one number, its depth in the high bits
and where it comes from in the low ones, so that the least number at a pixel tells everything about it.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.procedural.render.arrays import Array
from lavis_sam.synthesis.procedural.render.mesh import Mesh, continued, looked_up

# Pixels between samples: closer than pixels, so that one is hardly ever missed.
_SPACING = 0.7
# Samples along an axis of a cell have four bits in a sample's number.
_BITS = 4
_MOST_SAMPLES = 1 << _BITS
# Counts of samples that occur, so that there are few kinds of cells: each count is rounded up to the next of these.
_ROUNDED = np.array([1, 1, 2, 3, 4, 6, 6, 8, 8, 10, 10, 12, 12, 16, 16, 16, 16], np.uint8)
# Share of a cell from its edge to the nearest samples, at most: so narrow that outlines do not shrink.
_RIM = 1 / 14
# Samples that are worked on at a time: few enough for the processor's cache.
_AT_A_TIME = 32_768
# Square pixels: cells that are seen from so nearly beside count as facing the viewer.
_EDGE_ON = 0.5
# Pixels by which a sample between two nodes may come out beyond both.
_ROUNDING = 0.01
_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)

Keys = npt.NDArray[np.uint64]


class View(Protocol):
    """A camera or a light."""

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Project points [..., 3] to columns, rows and depth in positive metres."""
        ...


@dataclass(frozen=True)
class Frame:
    """What is in front at each of the n pixels that show something, surface by surface.

    Attributes:
        width: Of the image in pixels.
        pixels: [n] row * width + column.
        starts: [S + 1]: the pixels of surface s are those from starts[s] to starts[s + 1].
        depth: [n]
        u: [n] place on the surface.
        v: [n] place on the surface.
    """

    width: int
    height: int
    pixels: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    depth: Array
    u: Array
    v: Array


def rasterise(mesh: Mesh, view: View, width: int, height: int) -> Frame:
    """Find which surface is in front at each pixel; see the module.

    Args:
        mesh: Cells that reach beyond the image are left out.
        width: Pixels.
        height: Pixels.
    """
    samples = _Samples(mesh, view, width, height)
    keys = samples.nearest()
    pixels = np.flatnonzero(keys != _NOTHING)
    owner = mesh.owner[samples.cells(keys[pixels])]
    order = np.argsort(owner.astype(np.int16), kind="stable")
    pixels = pixels[order]
    starts = np.searchsorted(owner[order], np.arange(len(mesh.surfaces) + 1))
    keys = keys[pixels]
    return Frame(width, height, pixels, starts, _depth(keys), *samples.places(keys))


def depth_map(mesh: Mesh, view: View, width: int, height: int) -> Array:
    """Return [height, width] depth of what is in front among surfaces that throw shadows; infinite where nothing is."""
    keys = _Samples(mesh, view, width, height, only_shadows=True).nearest()
    return np.where(keys == _NOTHING, np.float32(np.inf), _depth(keys)).reshape(height, width)


def bounds(points: Array, view: View) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of points [..., 3] in a view."""
    column, row, _ = view.project(points)
    return float(column.min()), float(row.min()), float(column.max()), float(row.max())


def _depth(keys: Keys) -> Array:
    # The bits of positive floats are ordered as the floats are.
    return (keys >> np.uint64(32)).astype(np.uint32).view(np.float32)


class _Samples:
    """The samples of those cells of a mesh that can be seen in a view."""

    def __init__(self, mesh: Mesh, view: View, width: int, height: int, *, only_shadows: bool = False) -> None:
        self._mesh, self._width, self._size = mesh, width, width * height
        self._across, self._along = np.zeros((2, len(mesh.owner)), np.uint8)
        self._column, self._row, self._node_depth = view.project(mesh.points)
        seen = np.ones(len(mesh.owner), np.bool_)
        if only_shadows:
            seen = np.array([surface.shadows for surface in mesh.surfaces])[mesh.owner]
        right, bottom = width - _ROUNDING, height - _ROUNDING
        inside = (self._column >= 0) & (self._row >= 0) & (self._column < right) & (self._row < bottom)
        if not inside.all():
            seen &= inside[mesh.corners].all(axis=0)
        seen &= self._facing() > -_EDGE_ON
        self._seen = np.flatnonzero(seen)

    def _facing(self) -> Array:
        """Return [K] twice the pixels that cells cover; below 0 for those that show their inner side."""
        x, y = ([values[nodes] for nodes in self._mesh.corners] for values in (self._column, self._row))
        outward = np.array([surface.outward for surface in self._mesh.surfaces], np.float32)[self._mesh.owner]
        return ((x[2] - x[1]) * (y[3] - y[0]) - (x[3] - x[0]) * (y[2] - y[1])) * outward

    def nearest(self) -> Keys:
        """Return [width * height] the nearest sample at each pixel."""
        keys = np.full(self._size, _NOTHING)
        trimmed = np.array([surface.trim is not None for surface in self._mesh.surfaces])[self._mesh.owner[self._seen]]
        for pixels, found in self._of(self._seen[~trimmed]):
            np.minimum.at(keys, pixels, found)
        # Trims are slow: they are asked only for what nothing else hides.
        pieces = [_nearer(keys, pixels, found) for pixels, found in self._of(self._seen[trimmed])]
        if pieces:
            pixels, found = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
            there = self._there(found)
            np.minimum.at(keys, pixels[there], found[there])
        return keys

    def _there(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Return those of the samples of trimmed surfaces that are left."""
        owner = self._mesh.owner[self.cells(keys)].astype(np.int16)
        order = np.argsort(owner, kind="stable")
        owner, (u, v) = owner[order], self.places(keys[order])
        left = np.zeros(len(keys), np.bool_)
        for index in np.flatnonzero(np.bincount(owner)).tolist():
            own = slice(*np.searchsorted(owner, (index, index + 1)))
            trim = self._mesh.surfaces[index].trim
            if trim is not None:
                points = looked_up(continued(self._mesh.tables[index]), u[own], v[own])
                left[order[own]] = trim(u[own], v[own], points)
        return np.flatnonzero(left)

    def _of(self, cells: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], Keys]]:
        """Yield pixels and samples of cells, some thousands at a time."""
        corners = self._mesh.corners.take(cells, axis=1)
        column, row = self._column[corners], self._row[corners]
        across, along = (_count(column, row, sides) for sides in (((1, 0), (3, 2)), ((2, 0), (3, 1))))
        self._across[cells], self._along[cells] = across, along
        # Cells with equally many samples are worked on together.
        kind = across.astype(np.int16) * np.int16(_MOST_SAMPLES + 1) + along
        order = np.argsort(kind, kind="stable")
        starts = np.searchsorted(kind[order], np.arange((_MOST_SAMPLES + 1) ** 2 + 1))
        lift = np.array([surface.lift for surface in self._mesh.surfaces], np.float32)[self._mesh.owner[cells]]
        depth = self._node_depth[corners] - lift
        column, row, depth = (values.take(order, axis=1) for values in (column, row, depth))
        numbers = cells[order].astype(np.uint64) << np.uint64(2 * _BITS)
        for index in np.flatnonzero(np.diff(starts)):
            shares, local = _within_cell(*divmod(index, _MOST_SAMPLES + 1))
            step = max(1, _AT_A_TIME // len(local))
            for start in range(starts[index], starts[index + 1], step):
                part = slice(start, min(start + step, starts[index + 1]))
                pixels = (shares @ row[:, part]).astype(np.int64) * self._width
                pixels += (shares @ column[:, part]).astype(np.int64)
                found = (shares @ depth[:, part]).view(np.uint32).astype(np.uint64) << np.uint64(32)
                found |= numbers[part] | local
                yield pixels.reshape(-1), found.reshape(-1)

    def cells(self, keys: Keys) -> npt.NDArray[np.intp]:
        """Return the cells that samples belong to."""
        return (keys.astype(np.uint32) >> np.uint32(2 * _BITS)).astype(np.intp)

    def places(self, keys: Keys) -> tuple[Array, Array]:
        """Return the samples' u and v."""
        cells, numbers = self.cells(keys), keys.astype(np.uint16)
        low_u, size_u, low_v, size_v = (values[cells] for values in self._mesh.spans)
        u = low_u + size_u * _step(self._across[cells], numbers >> np.uint16(_BITS))
        return u, low_v + size_v * _step(self._along[cells], numbers)


def _step(counts: npt.NDArray[np.uint8], numbers: npt.NDArray[np.uint16]) -> Array:
    """Return how far along its cell a sample is, given the cell's count and the sample's number in the last bits."""
    at = counts * np.uint16(_MOST_SAMPLES) + (numbers & np.uint16(_MOST_SAMPLES - 1))
    return _STEPS.reshape(-1)[at.astype(np.intp)]


def _count(column: Array, row: Array, sides: Sequence[tuple[int, int]]) -> npt.NDArray[np.uint8]:
    """Count samples along two opposite sides of cells; places of corners are [4, k], sides are pairs of corners."""
    lengths = [np.hypot(column[a] - column[b], row[a] - row[b]) for a, b in sides]
    samples = np.maximum(*lengths) * np.float32((1 - 2 * _RIM) / _SPACING) + np.float32(1.7)
    return _ROUNDED[np.minimum(samples, _MOST_SAMPLES).astype(np.uint8)]


def _nearer(keys: Keys, pixels: npt.NDArray[np.int64], found: Keys) -> tuple[npt.NDArray[np.int64], Keys]:
    """Return those of the found samples that lie before what is at their pixels."""
    ahead = np.flatnonzero(found < keys[pixels])
    return pixels[ahead], found[ahead]


@functools.lru_cache(maxsize=_MOST_SAMPLES**2)
def _within_cell(across: int, along: int) -> tuple[Array, Keys]:
    """Return [P, 4] share of the corners in each sample of a cell, [P, 1] the samples' own bits; never written to."""
    s, t = _STEPS[across, :across, None], _STEPS[along, None, :along]
    shares = [(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t]
    local = np.arange(across)[:, None] * _MOST_SAMPLES + np.arange(along)
    return np.stack(shares, axis=-1).reshape(-1, 4), local.reshape(-1, 1).astype(np.uint64)


def _steps() -> Array:
    """Return [count, step]: where the samples of a cell lie along an axis that has so many of them."""
    steps = np.full((_MOST_SAMPLES + 1, _MOST_SAMPLES), 0.5, np.float32)
    for count in range(2, _MOST_SAMPLES + 1):
        rim = min(_RIM, 0.5 / count)
        steps[count, :count] = np.linspace(rim, 1 - rim, count)
    return steps


_STEPS = _steps()
