"""CLEVR-Change: a rendered scene, and the same scene changed or seen from elsewhere.

`images/CLEVR_default_000123.png`, `sc_images/CLEVR_semantic_000123.png` and `nsc_images/CLEVR_nonsemantic_000123.png`;
`change_captions.json` and `no_change_captions.json` are both keyed by the default image; `splits.json` lists indices.
Each index gives two samples: (default, semantic) with the change captions, (default, nonsemantic) with the others.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lavis_sam.datasets.formats.fields import RecordError, items, mapping, number, texts
from lavis_sam.datasets.formats.release import Entry, Release, split_of_name
from lavis_sam.datasets.formats.spot_the_diff import DIFFERENCE_CONTEXT
from lavis_sam.datasets.records import UnreadableFileError, read_document

_DEFAULT = re.compile(r"CLEVR_default_(\d{1,9})(\.\w+)?")
# Captions, kind of the second image, folder of the second images.
_KINDS = (
    ("change_captions.json", "semantic", "sc_images"),
    ("no_change_captions.json", "nonsemantic", "nsc_images"),
)


def entries(release: Release) -> Iterator[Entry]:
    """Yield the pairs of a release, ordered by index, the changed one first."""
    folder = release.annotations if release.annotations.is_dir() else release.annotations.parent
    captions = [(kind, second, folder / name, _captions(release, folder / name)) for name, kind, second in _KINDS]
    for index, split in _indices(release, folder / "splits.json", captions):
        for kind, second, path, texts_of in captions:
            place = f"{path} (index {index})"
            with release.reporting(place):
                if index not in texts_of:
                    raise RecordError(("empty output", f"found no captions of CLEVR_default_{index:06d}.png"))
                sentences = texts(texts_of, index)
                images = release.image_names.find(_names("images", "default", index), _names(second, kind, index))
                yield Entry(f"{index:06d}-{kind}", images, tuple(sentences), place, DIFFERENCE_CONTEXT, split)


def _names(folder: str, kind: str, index: int) -> list[str]:
    name = f"CLEVR_{kind}_{index:06d}.png"
    return [f"{folder}/{name}", name]


def _captions(release: Release, path: Path) -> dict[int, Any]:
    captions: dict[int, Any] = {}
    document = read_document(path)
    with release.reporting(str(path)):
        for name in mapping(document, "document"):
            matched = _DEFAULT.fullmatch(name)
            if matched is None:
                release.problem("wrong id", f"{path} ({name!r})", "wanted CLEVR_default_<index>.png")
            else:
                captions[int(matched.group(1))] = document[name]
    return captions


def _indices(
    release: Release, path: Path, captions: list[tuple[str, str, Path, dict[int, Any]]]
) -> list[tuple[int, str | None]]:
    """Return every index, sorted, with its split; those of no split only where no split is asked for."""
    indices: dict[int, str | None] = {}
    if path.is_file():
        document: Any = read_document(path)
        with release.reporting(str(path)):
            for name in mapping(document, "document"):
                split = split_of_name(name)
                for position in range(len(items(document, name))):
                    with release.reporting(f"{path} ({name}[{position}])"):
                        indices[number({name: document[name][position]}, name)] = split
    elif release.split is not None:
        raise UnreadableFileError("unreadable file", path, f"needed to know the split {release.split!r}")
    if release.split is None:
        for *_, texts_of in captions:
            for index in texts_of:
                indices.setdefault(index, None)
    wanted = [index for index, split in indices.items() if release.split in (None, split)]
    return [(index, indices[index]) for index in sorted(wanted)]
