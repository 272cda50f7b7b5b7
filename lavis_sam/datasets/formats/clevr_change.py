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
            elif int(matched.group(1)) in captions:
                message = f"index {int(matched.group(1))} has captions under another name of it as well, wanted one"
                release.problem("duplicate id", f"{path} ({name!r})", message)
            else:
                captions[int(matched.group(1))] = document[name]
    return captions


def _indices(
    release: Release, path: Path, captions: list[tuple[str, str, Path, dict[int, Any]]]
) -> list[tuple[int, str | None]]:
    """Return every index, sorted, with its split; those of no split only where no split is asked for.

    An index in two splits would let what is tested be trained on: it is a problem, and left out of both.
    """
    if not path.is_file() and release.split is not None:
        raise UnreadableFileError("unreadable file", path, f"needed to know the split {release.split!r}")
    places = _listed(release, path) if path.is_file() else {}
    if release.split is None:
        for *_, texts_of in captions:
            for index in texts_of:
                places.setdefault(index, {})
    found: list[tuple[int, str | None]] = []
    for index, of_splits in sorted(places.items()):
        if len(of_splits) > 1:
            message = f"index {index} is in {' and in '.join(of_splits.values())}, wanted in one split"
            release.problem("several splits", f"{path} (index {index})", message)
        elif release.split is None or release.split in of_splits:
            found.append((index, next(iter(of_splits), None)))
    return found


def _listed(release: Release, path: Path) -> dict[int, dict[str, str]]:
    """Return index -> split -> the first place of `splits.json` that says so; lists of other names say nothing."""
    places: dict[int, dict[str, str]] = {}
    document: Any = read_document(path)
    with release.reporting(str(path)):
        for name in mapping(document, "document"):
            split = split_of_name(name)
            for position in range(len(items(document, name))):
                place = f"{name}[{position}]"
                with release.reporting(f"{path} ({place})"):
                    of_splits = places.setdefault(number({name: document[name][position]}, name), {})
                    if split is not None:
                        of_splits.setdefault(split, place)
    return places
