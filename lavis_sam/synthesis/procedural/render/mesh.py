"""Shapes as nets of cells: a shape is asked for few places, and what lies between them is interpolated.

A shape's `point` is exact and slow. Between places that are a few pixels apart a straight line is as good.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.procedural.render.arrays import Array
from lavis_sam.synthesis.procedural.render.surfaces import COARSE, Shape, Surface

# Pixels along a cell, and the least number of cells along a shape: round objects must stay round.
_CELL = 5.6
_LEAST_CELLS = 10
_MOST_CELLS = 80_000
# Pixels that are added to the length of a shape, for it was measured between few places.
_OVER = 1.6
# Rows of a list of places: OpenCV has no longer ones.
_LONGEST = 16_384

Indices = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Mesh:
    """Surfaces as cells: M nodes, and K cells that each lie between four of them.

    Attributes:
        surfaces: In their order.
        points: [M, 3] nodes, surface by surface.
        corners: [4, K] nodes of each cell: low u and v, high u, high v, both.
        spans: [4, K]: lowest u, size in u, lowest v, size in v.
        owner: [K] index of the surface.
        tables: [across + 2, along + 2, 3] nodes of each surface.
    """

    surfaces: Sequence[Surface]
    points: Array
    corners: Indices
    spans: Array
    owner: Indices
    tables: Sequence[Array]


def mesh_of(surfaces: Sequence[Surface], column: Array, row: Array) -> Mesh:
    """Lay a net over every surface.

    Args:
        surfaces: In any order.
        column: [S, COARSE, COARSE] where the surfaces' `coarse` points appear, in pixels: decides how fine the net is.
    """
    tables, corners, spans, owner, nodes_before = [], [], [], [], 0
    sizes = zip(_pixels(column, row, 1), _pixels(column, row, 2), strict=True)
    for index, (surface, (wide, long)) in enumerate(zip(surfaces, sizes, strict=True)):
        shrink = max(1.0, (wide * long / _CELL**2 / _MOST_CELLS) ** 0.5)
        across, along = cells_for(wide / shrink), cells_for(long / shrink)
        found = table(surface.shape, across, along)
        own_corners, own_spans = _grid(across, along)
        tables.append(found)
        corners.append(own_corners + np.int32(nodes_before))
        spans.append(own_spans)
        owner.append(np.full(own_corners.shape[1], index, np.int32))
        nodes_before += (across + 2) * (along + 2)
    points = np.concatenate([found.reshape(-1, 3) for found in tables])
    return Mesh(
        surfaces, points, np.concatenate(corners, axis=1), np.concatenate(spans, axis=1), np.concatenate(owner), tables
    )


def cells_for(pixels: float) -> int:
    """Return cells along an axis that is so long."""
    return max(_LEAST_CELLS, int(np.ceil(pixels / _CELL)))


def _pixels(column: Array, row: Array, axis: int) -> list[float]:
    """Return how long each surface would be along an axis if it were everywhere as stretched as where it is most."""
    steps = np.hypot(np.diff(column, axis=axis), np.diff(row, axis=axis))
    return [float(longest) * (COARSE - 1) + _OVER for longest in steps.max(axis=(1, 2))]


@functools.lru_cache(maxsize=512)
def nodes(cells: int) -> Array:
    """Return [cells + 2] places: the middles of equal shares of [0, 1], and both ends."""
    middles = (np.arange(cells, dtype=np.float32) + np.float32(0.5)) / np.float32(cells)
    return np.concatenate([[0], middles, [1]]).astype(np.float32)


@functools.lru_cache(maxsize=256)
def _grid(across: int, along: int) -> tuple[Indices, Array]:
    """Return `Mesh.corners` and `Mesh.spans` of a net with so many nodes; shared, so never written to."""
    rows, columns = np.arange(across + 1, dtype=np.int32), np.arange(along + 1, dtype=np.int32)
    first = (rows[:, None] * np.int32(along + 2) + columns).reshape(-1)
    corners = first + np.array([[0], [along + 2], [1], [along + 3]], np.int32)
    u, v = nodes(across), nodes(along)
    spans = np.broadcast_arrays(u[:-1, None], np.diff(u)[:, None], v[None, :-1], np.diff(v)[None, :])
    return corners, np.stack(spans).reshape(4, -1)


def table(shape: Shape, across: int, along: int) -> Array:
    """Return [across + 2, along + 2, 3] points at the nodes."""
    found = shape.point(nodes(across)[:, None], nodes(along)[None, :])
    return np.ascontiguousarray(np.broadcast_to(found, (across + 2, along + 2, 3)), np.float32)


def continued(entries: Array) -> Array:
    """Return a table whose outermost entries continue the values at the ends, as `looked_up` wants it."""
    entries = entries.copy()
    for line in (entries, entries.swapaxes(0, 1)):
        line[0], line[-1] = 2 * line[0] - line[1], 2 * line[-1] - line[-2]
    return entries


def looked_up(entries: Array, u: Array, v: Array) -> Array:
    """Return [n, C]: values of a `continued` table [across + 2, along + 2, C] at places [n]."""
    count = len(u)
    rows = -(-count // _LONGEST)
    width = -(-count // rows)
    maps = np.zeros((2, rows * width), np.float32)
    for padded, place, cells in zip(maps, (v, u), (entries.shape[1] - 2, entries.shape[0] - 2), strict=True):
        np.multiply(place, np.float32(cells), out=padded[:count])
    maps += np.float32(0.5)
    x, y = maps.reshape(2, rows, width)
    found = cv2.remap(entries, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(rows * width, -1)[:count]
