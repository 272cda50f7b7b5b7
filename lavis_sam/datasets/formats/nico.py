"""NICO: animals and vehicles, each in many contexts, in folders; groups of images of one concept.

`<root>/<superclass>/<concept>/<context>/<file>`. There are no captions: a group's text is its concept ("dog"), or its
concept and context ("dog on grass"). Groups by concept take every image from another context; groups by concept and
context take all images from that one. No image is used twice.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.formats.image_folder import has_image_suffix
from lavis_sam.datasets.formats.release import Entry, Release
from lavis_sam.datasets.records import UnreadableFileError
from lavis_sam.errors import SamConfigurationError

_TARGETS = ("concept", "concept_context")
_OTHER_SUPERCLASS = {"animal": "vehicle", "vehicle": "animal"}

# Context -> image paths relative to the folder of images.
Contexts = dict[str, list[str]]


def animal_entries(release: Release, *, group_size: int = 5, target: str = "concept") -> Iterator[Entry]:
    """Yield groups of the ten animals; see `_entries`."""
    return _entries(release, "animal", group_size, target)


def vehicle_entries(release: Release, *, group_size: int = 5, target: str = "concept") -> Iterator[Entry]:
    """Yield groups of the nine vehicles; see `_entries`."""
    return _entries(release, "vehicle", group_size, target)


def _entries(release: Release, superclass: str, group_size: int, target: str) -> Iterator[Entry]:
    """Yield groups of `group_size` images, named by concept and number.

    Raises:
        SamConfigurationError: A group size below 1, or an unknown target.
    """
    if isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1:
        raise SamConfigurationError(f"group_size: found {group_size!r}, wanted an integer of at least 1.")
    if target not in _TARGETS:
        raise SamConfigurationError(unknown_name("target", target, _TARGETS, "target"))
    folder = _superclass_folder(release, superclass)
    for concept in _folders(folder):
        contexts = {
            context: _image_files(release, folder / concept / context) for context in _folders(folder / concept)
        }
        release.check.look_at(file for files in contexts.values() for file in files)
        whole = {context: _readable(release, files) for context, files in contexts.items()}
        if target == "concept":
            yield from _across_contexts(release, folder / concept, whole, group_size)
        else:
            yield from _within_contexts(release, folder / concept, whole, group_size)


def _superclass_folder(release: Release, superclass: str) -> Path:
    """Return the folder `animal`, `Animals`, …: the one that was named, one of its own, or one a level below."""
    named, images = release.annotations.resolve(), release.images.resolve()
    named = named if named.is_dir() else named.parent
    # Spelled from the folder of images, however the user spelled it.
    root = release.images / named.relative_to(images) if named.is_relative_to(images) else release.images
    below = [root / name for name in _folders(root)]
    further = [folder / name for folder in below for name in _folders(folder)]
    for folder in (root, *below, *further):
        if _is_called(folder.name, superclass):
            return folder
    # A tree of concepts right below the root is fine, unless it is that of the other superclass.
    other = _OTHER_SUPERCLASS[superclass]
    if below and not any(_is_called(folder.name, other) for folder in (root, *below)):
        return root
    message = f"found no folder {superclass!r} (or {superclass}s, in upper or lower case)"
    raise UnreadableFileError("unreadable file", root, message)


def _is_called(name: str, superclass: str) -> bool:
    return name.strip().lower() in (superclass, f"{superclass}s")


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return sorted(one.name for one in found if one.is_dir() and not one.name.startswith((".", "__")))
    except OSError:
        return []


def _image_files(release: Release, folder: Path) -> list[str]:
    try:
        names = sorted(name for name in os.listdir(folder) if has_image_suffix(name) and not name.startswith("."))
    except OSError as error:
        release.problem("unreadable file", str(folder), f"{error.strerror}; the folder's images are left out")
        return []
    return [(folder / name).relative_to(release.images).as_posix() for name in names]


def _readable(release: Release, files: Sequence[str]) -> list[str]:
    """Return the whole images; the others are reported one by one."""
    whole = []
    for file in files:
        problem = release.check.problem(file)
        if problem is None:
            whole.append(file)
        else:
            release.problem(problem[0], f"{release.images}/{file}", f"{problem[1]}; left out of all groups")
    return whole


def _across_contexts(release: Release, concept: Path, contexts: Contexts, size: int) -> Iterator[Entry]:
    """Yield groups with an image each from `size` contexts; those with the most images left come first."""
    left = {context: files for context, files in contexts.items() if files}
    count = 0
    while len(left) >= size:
        fullest = sorted(sorted(left, key=lambda context: (-len(left[context]), context))[:size])
        images = tuple(left[context].pop(0) for context in fullest)
        yield _group(release, concept, concept.name, images, count)
        count += 1
        left = {context: files for context, files in left.items() if files}
    _tell_left_over(release, sum(map(len, left.values())))


def _within_contexts(release: Release, concept: Path, contexts: Contexts, size: int) -> Iterator[Entry]:
    """Yield groups of `size` images of one context."""
    for context, files in contexts.items():
        whole_groups = len(files) // size
        for count in range(whole_groups):
            images = tuple(files[count * size : (count + 1) * size])
            yield _group(release, concept, f"{concept.name} {context}", images, count)
        _tell_left_over(release, len(files) - whole_groups * size)


def _group(release: Release, concept: Path, name: str, images: tuple[str, ...], count: int) -> Entry:
    """Return a group; the release has no splits, so it belongs to whatever split is asked for."""
    place = f"{concept} (group {name}-{count})"
    return Entry(f"{name}-{count}", images, (name.replace("_", " "),), place, split=release.split)


def _tell_left_over(release: Release, count: int) -> None:
    if count:
        release.repaired("image left over, too few for a further group", count)
