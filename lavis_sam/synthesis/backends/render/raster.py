"""Which surface is in front, pixel by pixel: surfaces are sampled more densely than the pixels, and the nearest wins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.backends.render.noise import Array
from lavis_sam.synthesis.backends.render.surfaces import Shape, Surface

# Samples a pixel and direction: at 0.7 pixels apart no pixel that a surface covers can be missed.
_SPACING = 0.7
# A first look at a shape, to learn how large it appears.
_COARSE = 17
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


def bounds(shapes: Sequence[Shape], view: View) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of all shapes in a view."""
    columns, rows = [], []
    for shape in shapes:
        column, row, _ = view.project(_coarse(shape))
        columns += [float(column.min()), float(column.max())]
        rows += [float(row.min()), float(row.max())]
    return min(columns), min(rows), max(columns), max(rows)


def _draw(frame: Frame, index: int, surface: Surface, view: View) -> None:
    column, row, _ = view.project(_coarse(surface.shape))
    if column.max() < -1 or row.max() < -1 or column.min() > frame.width or row.min() > frame.height:
        return
    across, along = _count(column, row, 0), _count(column, row, 1)
    shrink = max(1.0, (across * along / _MOST_SAMPLES) ** 0.5)
    across, along = int(across / shrink), int(along / shrink)
    u = ((np.arange(across, dtype=np.float32) + 0.5) / across)[:, None]
    v = ((np.arange(along, dtype=np.float32) + 0.5) / along)[None, :]
    points = surface.shape.point(u, v)
    column, row, depth = view.project(points)
    x, y = column.astype(np.int32), row.astype(np.int32)
    seen = (column >= 0) & (row >= 0) & (x < frame.width) & (y < frame.height)
    if surface.trim is not None:
        seen &= surface.trim(*np.broadcast_arrays(u, v), points)  # type: ignore[call-arg]
    cell = (y * frame.width + x)[seen]
    depth = depth[seen] - np.float32(surface.lift)
    nearer = depth < frame.depth[cell]
    cell, depth = cell[nearer], depth[nearer]
    np.minimum.at(frame.depth, cell, depth)
    wins = depth <= frame.depth[cell]
    cell = cell[wins]
    frame.owner[cell] = index
    for stored, own in ((frame.u, u), (frame.v, v)):
        stored[cell] = np.broadcast_to(own, seen.shape)[seen][nearer][wins]


def _coarse(shape: Shape) -> Array:
    steps = np.linspace(0, 1, _COARSE, dtype=np.float32)
    return shape.point(steps[:, None], steps[None, :])


def _count(column: Array, row: Array, axis: int) -> int:
    """Samples along an axis so that neighbours are at most `_SPACING` pixels apart."""
    steps = np.hypot(np.diff(column, axis=axis), np.diff(row, axis=axis))
    return int(np.ceil(float(steps.max()) * (_COARSE - 1) / _SPACING * 1.1)) + 2
