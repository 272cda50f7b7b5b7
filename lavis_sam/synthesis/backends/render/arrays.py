"""The arrays that the drawing code computes with: float32 throughout."""

from typing import Any

import numpy as np
import numpy.typing as npt

# NumPy's stubs forget the width in mixed arithmetic (float32 times a Python float), so the type leaves it open.
Array = npt.NDArray[Any]


def floats(values: npt.ArrayLike) -> Array:
    """Numbers, points or lists of either as float32."""
    return np.asarray(values, np.float32)
