"""Several data sets as one: annotation files whose images lie in different folders.

Apart from `lavis-sam data join`, which only reads options: Python callers have it too.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lavis_sam.datasets.annotations import scan_annotations, usable_samples
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError


def join_samples(files: Sequence[Path], root: Path, most: int | None = None) -> list[MultiImageSample]:
    """Read annotation files and name their images from one folder.

    Args:
        files: Annotation files; the images of each are relative to the folder that it lies in.
        root: A folder above all of them, that the new paths are relative to.
        most: So many samples of each file, evenly spread over it; None for all.

    Returns:
        The samples, file by file; ids begin with their file's place, "pairs/annotations.json: 17".

    Raises:
        SamConfigurationError: A file twice, or one that is not under `root`.
        SamDataError: A file that cannot be read, or with no whole sample.
    """
    places = [Path(os.path.abspath(file)) for file in files]
    for place in places:
        if places.count(place) > 1:
            raise SamConfigurationError(f"{place}: is given twice; wanted each file once.")
        if Path(os.path.abspath(root)) not in place.parents:
            raise SamConfigurationError(
                f"{place}: is not under {root}; write the joined file into a folder above all that it joins."
            )
    joined: list[MultiImageSample] = []
    for place in places:
        samples = usable_samples(scan_annotations(place, place.parent, check="paths"), str(place), strict=False)
        if most is not None and most < len(samples):
            samples = [samples[int(number)] for number in np.linspace(0, len(samples) - 1, most)]
        name = place.relative_to(os.path.abspath(root))
        joined += [
            replace(
                sample,
                id=f"{name.as_posix()}: {sample.id}",
                images=tuple((name.parent / image).as_posix() for image in sample.images),
            )
            for sample in samples
        ]
    return joined
