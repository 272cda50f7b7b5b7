"""Drawing to PNG files with matplotlib, which only those need who draw."""

import io
import math
import os
from collections.abc import Mapping
from typing import Any

from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import write_bytes


def figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure that needs no screen.

    Args:
        width: In inches.
        height: In inches.

    Raises:
        SamConfigurationError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SamConfigurationError(
            f"a plot needs matplotlib, which cannot be imported ({error}); install it with `pip install matplotlib`."
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def draw_surface(axes: Any, values: Mapping[tuple[int, int], float], *, digits: int = 2) -> None:
    """Draw Figure 5 of the paper: values over the layers, l down and k across; a pair without value stays white.

    Args:
        axes: matplotlib's.
        values: (l, k) -> the value.
        digits: Behind the point, of what stands in a cell.
    """
    ls, ks = (sorted({place[axis] for place in values}) for axis in (0, 1))
    image = axes.imshow([[values.get((row, column), math.nan) for column in ks] for row in ls], cmap="viridis")
    for (row, column), value in values.items():
        # The upper half of the colours is bright.
        colour = "black" if image.norm(value) > 0.5 else "white"
        place = {"x": ks.index(column), "y": ls.index(row)}
        axes.text(**place, s=f"{value:.{digits}f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set(xticks=range(len(ks)), xticklabels=ks, yticks=range(len(ls)), yticklabels=ls)
    axes.set(xlabel="k", ylabel="l")


def save_png(drawn: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
