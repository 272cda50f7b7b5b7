"""What the records of a synthesised data set say of its variety: attributes, scenes, where objects are and how tall."""

import html
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from lavis_sam.synthesis.charts import bars, heat_map

_VALUES_SHOWN = 14
_GRID = 16


class Variety:
    """Counts over the lines of samples.jsonl."""

    def __init__(self) -> None:
        self.attributes: dict[str, Counter[str]] = defaultdict(Counter)
        self.scenes: Counter[str] = Counter()
        self.positions: dict[str, np.ndarray] = {}
        self.heights: dict[str, list[float]] = defaultdict(list)

    def add(self, sample: Mapping[str, Any]) -> None:
        """Count one line."""
        for name, value in sample["objects"][0]["attributes"].items():
            self.attributes[f"{sample['kind']}: {name}"][value] += 1
        for image in sample["pictures"]:
            if image["background"]["scene"]:
                self.scenes[image["background"]["scene"]] += 1
            for obj in image["objects"]:
                if obj["role"] == "main":
                    self._place(sample["kind"], obj)

    def as_dict(self) -> dict[str, Any]:
        """Return counts by name; positions as rows of a grid over the image, from the top."""
        return {
            "attributes": {name: dict(counts.most_common()) for name, counts in sorted(self.attributes.items())},
            "scenes": dict(self.scenes.most_common()),
            "positions": {kind: grid.tolist() for kind, grid in self.positions.items()},
            "heights": {kind: [min(values), max(values)] for kind, values in self.heights.items()},
        }

    def _place(self, kind: str, obj: Mapping[str, Any]) -> None:
        height, width = obj["mask"]["size"]
        left, top, box_width, box_height = obj["box"]
        x, y = (left + box_width / 2) / width, (top + box_height / 2) / height
        grid = self.positions.setdefault(kind, np.zeros((_GRID, _GRID), int))
        grid[min(_GRID - 1, max(0, int(y * _GRID))), min(_GRID - 1, max(0, int(x * _GRID)))] += 1
        self.heights[kind].append(box_height / height)


def variety_charts(found: Mapping[str, Any]) -> str:
    """Return markup of what `Variety.as_dict` gave."""
    charts = [
        f"<figure><b>where {html.escape(kind)} are</b>{heat_map(np.array(grid))}"
        f"<figcaption>middles of the main objects; heights from {found['heights'][kind][0]:.2f} to "
        f"{found['heights'][kind][1]:.2f} of the image</figcaption></figure>"
        for kind, grid in found["positions"].items()
    ]
    for name, counts in [("scenes", found["scenes"]), *found["attributes"].items()]:
        if counts:
            shown = dict(list(counts.items())[:_VALUES_SHOWN])
            more = f", {len(counts)} different values" if len(counts) > _VALUES_SHOWN else ""
            charts.append(f"<figure><b>{html.escape(name)}</b>{more}{bars(shown)}</figure>")
    return f"<div class=charts>{''.join(charts)}</div>"
