"""Group captioning on Conceptual Captions: five images and the caption that fits all of them.

No public file format exists. Besides the unified format, this reads a list (or lines) of
`{"id", "targets": [five image paths], "references": [image paths], "caption"}`: `targets` is the group, and
`references` are images that the caption need not fit, which are not shown to the model.
"""

from collections.abc import Iterator

from lavis_sam.datasets.formats.fields import identity, mapping, text, texts
from lavis_sam.datasets.formats.release import SPLITS, Entry, Release


def entries(release: Release) -> Iterator[Entry]:
    """Yield the groups of a release."""
    for split, path in release.files({split: f"{split}.json" for split in SPLITS}):
        for place, record in release.records(path):
            with release.reporting(place):
                name = identity(mapping(record), "id")
                images = release.image_names.find(*[[target] for target in texts(record, "targets")])
                yield Entry(name, images, (text(record, "caption"),), f"{place} (id {name!r})", "", split)
