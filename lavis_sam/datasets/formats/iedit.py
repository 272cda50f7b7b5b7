"""IEdit (Image-Editing-Request): an image before and after an edit, and the request that asked for it.

`{train,valid,test}.json` is a list of `img0`, `img1`, `sents` (one sentence in train, three elsewhere) and `uid`, which
is unique in a split although the same pair may come again. Extensions are jpg, JPG, jpeg, png and gif.
"""

from collections.abc import Iterator

from lavis_sam.datasets.formats.fields import identity, mapping, text, texts
from lavis_sam.datasets.formats.release import Entry, Release

_CONTEXT = "Source Image:{image#1} Target Image:{image#2}Instruction:"


def entries(release: Release) -> Iterator[Entry]:
    """Yield the pairs of a release."""
    for split, path in release.files({"train": "train.json", "val": "valid.json", "test": "test.json"}):
        for place, record in release.records(path):
            with release.reporting(place):
                name = identity(mapping(record), "uid")
                images = release.image_names.find([text(record, "img0")], [text(record, "img1")])
                yield Entry(name, images, tuple(texts(record, "sents")), f"{place} (uid {name!r})", _CONTEXT, split)
