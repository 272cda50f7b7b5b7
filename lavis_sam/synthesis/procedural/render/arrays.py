"""The arrays that the drawing code computes with: float32 throughout."""

from typing import Any

import numpy as np
import numpy.typing as npt

# NumPy's stubs forget the width in mixed arithmetic (float32 times a Python float), so the type leaves it open.
Array = npt.NDArray[Any]


def floats(values: npt.ArrayLike) -> Array:
    """Return numbers, points or lists of either as float32."""
    return np.asarray(values, np.float32)


def points_at(x: Array, y: Array, z: Array) -> Array:
    """Return points [..., 3] from coordinates that broadcast against each other."""
    points = np.empty((*np.broadcast(x, y, z).shape, 3), np.float32)
    points[..., 0], points[..., 1], points[..., 2] = x, y, z
    return points


def cross(first: Array, second: Array) -> Array:
    """Return cross products of vectors [n, 3] or [3], much faster than NumPy's."""
    (a, b, c), (x, y, z) = first.T, second.T
    return points_at(b * z - c * y, c * x - a * z, a * y - b * x)
