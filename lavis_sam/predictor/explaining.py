"""An explanation together with the images that it is about."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lavis_sam.explain.drawing import draw_overview
from lavis_sam.explain.measures import Explanation
from lavis_sam.files import write_bytes, write_json

OVERVIEW_FILE, NUMBERS_FILE, ARRAYS_FILE = "overview.png", "explanation.json", "measures.npz"


@dataclass(frozen=True)
class ExplainedImages:
    """What `SamPredictor.explain` gives.

    Attributes:
        measures: The three measures as arrays, see `lavis_sam.explain.Explanation`.
        images: The sample's images, RGB.
    """

    measures: Explanation
    images: list[Image.Image]

    def draw(self) -> Image.Image:
        """All measures over the images, in one image."""
        return draw_overview(self.measures, self.images)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the image, the numbers (JSON) and the arrays (NumPy's .npz); files of these names are replaced.

        Args:
            folder: The folder to make.

        Returns:
            The files: `overview`, `numbers`, `arrays`.
        """
        folder = Path(folder)
        paths = {"overview": folder / OVERVIEW_FILE, "numbers": folder / NUMBERS_FILE, "arrays": folder / ARRAYS_FILE}
        image, arrays = io.BytesIO(), io.BytesIO()
        self.draw().save(image, format="PNG", optimize=True)
        named: dict[str, Any] = self.measures.arrays()
        np.savez_compressed(arrays, **named)
        write_bytes(paths["overview"], image.getvalue())
        write_bytes(paths["arrays"], arrays.getvalue())
        write_json(paths["numbers"], self.measures.as_dict())
        return paths
