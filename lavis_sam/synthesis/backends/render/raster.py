"""Which surface is in front, pixel by pixel: surfaces are sampled more densely than pixels, and the nearest wins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.backends.render.arrays import Array
from lavis_sam.synthesis.backends.render.mesh import cells_for, dense, middles, table
from lavis_sam.synthesis.backends.render.surfaces import COARSE, Surface

# Pixels between samples where a shape is largest; elsewhere they are closer, and a pixel is hardly ever missed.
_SPACING = 0.8
_MOST_SAMPLES = 4_000_000


class View(Protocol):
    """A camera or a light."""

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Points [..., 3] -> columns, rows, depth."""
        ...


@dataclass(frozen=True)
class Frame:
    """What is in front at every pixel, row by row ([H * W]).

    Attributes:
        width: Pixels.
        height: Pixels.
        depth: Infinite where there is nothing.
        owner: Index of the surface, or -1.
        u: Place on that surface.
        v: Place on that surface.
    """

    width: int
    height: int
    depth: Array
    owner: npt.NDArray[np.int16]
    u: Array
    v: Array


def rasterise(surfaces: Sequence[Surface], view: View, width: int, height: int) -> Frame:
    """See the module.

    Args:
        surfaces: In any order.
        view: Camera or light.
        width: Pixels.
        height: Pixels.
    """
    cells = width * height
    frame = Frame(
        width,
        height,
        np.full(cells, np.inf, np.float32),
        np.full(cells, -1, np.int16),
        np.zeros(cells, np.float32),
        np.zeros(cells, np.float32),
    )
    for index, surface in enumerate(surfaces):
        _draw(frame, index, surface, view)
    return frame


def bounds(surfaces: Sequence[Surface], view: View) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of all surfaces in a view."""
    columns, rows = [], []
    for surface in surfaces:
        column, row, _ = view.project(surface.coarse)
        columns += [float(column.min()), float(column.max())]
        rows += [float(row.min()), float(row.max())]
    return min(columns), min(rows), max(columns), max(rows)


def _draw(frame: Frame, index: int, surface: Surface, view: View) -> None:
    column, row, _ = view.project(surface.coarse)
    if column.max() < -1 or row.max() < -1 or column.min() > frame.width or row.min() > frame.height:
        return
    across, along = _count(column, row, 0), _count(column, row, 1)
    shrink = max(1.0, (across * along / _MOST_SAMPLES) ** 0.5)
    entries = table(surface.shape.point, cells_for(int(across / shrink)), cells_for(int(along / shrink)))
    column, row, depth = np.moveaxis(dense(np.stack(view.project(entries), axis=-1)), -1, 0)
    x, y = column.astype(np.int32), row.astype(np.int32)
    seen = (column >= 0) & (row >= 0) & (x < frame.width) & (y < frame.height)
    cell = np.where(seen, y * frame.width + x, 0)
    depth = depth - np.float32(surface.lift)
    nearer = np.nonzero(seen & (depth < frame.depth[cell]))
    u, v = (middles(count)[places] for count, places in zip(seen.shape, nearer, strict=True))
    cell, depth = cell[nearer], depth[nearer]
    if surface.trim is not None:
        there = surface.trim(u, v, dense(entries)[nearer])
        cell, depth, u, v = (values[there] for values in (cell, depth, u, v))
    np.minimum.at(frame.depth, cell, depth)
    wins = depth <= frame.depth[cell]
    cell = cell[wins]
    frame.owner[cell], frame.u[cell], frame.v[cell] = index, u[wins], v[wins]


def _count(column: Array, row: Array, axis: int) -> int:
    """Samples along an axis so that neighbours are at most `_SPACING` pixels apart."""
    steps = np.hypot(np.diff(column, axis=axis), np.diff(row, axis=axis))
    return int(np.ceil(float(steps.max()) * (COARSE - 1) / _SPACING)) + 2
