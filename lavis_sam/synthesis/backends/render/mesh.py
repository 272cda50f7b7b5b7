"""Shapes as tables: a shape is asked for few places, and what lies between them is interpolated.

A shape's `point` is exact and slow. Between places that are a few pixels apart a straight line is as good, and OpenCV
draws it in a fraction of the time.
"""

from collections.abc import Callable

import cv2
import numpy as np

from lavis_sam.synthesis.backends.render.arrays import Array

# Samples along each side of a cell, and the least number of cells along a shape: round things must stay round.
SAMPLES = 7
_LEAST_CELLS = 10
# Rows of a list of places: OpenCV has no longer ones.
_LONGEST = 16_384


def cells_for(samples: int) -> int:
    """Cells along an axis that shall have at least so many samples."""
    return max(_LEAST_CELLS, -(-samples // SAMPLES))


def nodes(cells: int) -> Array:
    """[cells + 2] places: the middle of every cell, and both ends."""
    return np.concatenate([[0], middles(cells), [1]]).astype(np.float32)


def middles(count: int) -> Array:
    """[count] middles of equal shares of [0, 1]."""
    return (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)


def table(values: Callable[[Array, Array], Array], across: int, along: int) -> Array:
    """Values at the nodes, ready for `dense` and `looked_up`.

    Args:
        values: (u, v) -> [..., 3].
        across: Cells in u.
        along: Cells in v.

    Returns:
        [across + 2, along + 2, 3]; the outermost entries are those that the values at the ends continue to.
    """
    found = np.array(values(nodes(across)[:, None], nodes(along)[None, :]), np.float32)
    for line in (found, found.swapaxes(0, 1)):
        line[0], line[-1] = 2 * line[0] - line[1], 2 * line[-1] - line[-2]
    return found


def dense(entries: Array) -> Array:
    """[across * SAMPLES, along * SAMPLES, 3]: values at the middles of equal shares of u and v."""
    rows, columns = entries.shape[:2]
    fine = cv2.resize(entries, (columns * SAMPLES, rows * SAMPLES), interpolation=cv2.INTER_LINEAR)
    return fine[SAMPLES:-SAMPLES, SAMPLES:-SAMPLES]


def looked_up(entries: Array, u: Array, v: Array) -> Array:
    """[n, 3]: values at places [n]."""
    count = len(u)
    rows = -(-count // _LONGEST)
    width = -(-count // rows)
    maps = []
    for place, cells in ((v, entries.shape[1] - 2), (u, entries.shape[0] - 2)):
        padded = np.zeros(rows * width, np.float32)
        padded[:count] = place * np.float32(cells) + np.float32(0.5)
        maps.append(padded.reshape(rows, width))
    found = cv2.remap(entries, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[:count]
