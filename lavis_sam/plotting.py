"""Drawing to PNG files with matplotlib, which only those need who draw."""

import io
import os
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


def save_png(drawn: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
