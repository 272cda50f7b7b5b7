"""Spot-the-Diff: two frames of one surveillance camera, and sentences on what differs.

`{train,val,test}.json` is a list of `img_id` and `sentences`; the images are `<id>.png` and `<id>_2.png` (or jpg). An
id that comes again is another annotator of the same pair: its sentences are further references. Some sentences are
empty.
"""

from collections.abc import Iterator

from lavis_sam.datasets.formats.fields import identity, mapping, texts
from lavis_sam.datasets.formats.release import SPLITS, Entry, Release

DIFFERENCE_CONTEXT = "{image#1}{image#2}Difference:"


def entries(release: Release) -> Iterator[Entry]:
    """Yield the pairs of a release."""
    for split, path in release.files({split: f"{split}.json" for split in SPLITS}):
        sentences: dict[str, list[str]] = {}
        places: dict[str, str] = {}
        for place, record in release.records(path):
            with release.reporting(place):
                name, written = identity(mapping(record), "img_id"), texts(record, "sentences")
                if places.setdefault(name, place) != place:
                    release.repaired("entry of another annotator, joined to the pair's first")
                sentences.setdefault(name, []).extend(written)
        for name, written in sentences.items():
            place = f"{places[name]} (id {name!r})"
            with release.reporting(place):
                images = release.image_names.find([f"{name}.png"], [f"{name}_2.png"])
                yield Entry(name, images, tuple(written), place, DIFFERENCE_CONTEXT, split)
