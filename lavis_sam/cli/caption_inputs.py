"""What `lavis-sam caption` is to look at: images, folders, patterns and lists, all checked before a model is loaded."""

import glob
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lavis_sam.errors import SamDataError

_LIST_SUFFIXES = (".txt", ".list")
_STDIN = "-"


@dataclass(frozen=True)
class CaptionSample:
    """Images that are looked at together.

    Attributes:
        name: The folder, or the line of the list; for one sample alone, all of its images.
        images: Paths, in order.
        error: Why they cannot be answered.
    """

    name: str
    images: tuple[str, ...]
    error: str | None = None


def one_sample(words: Sequence[str]) -> CaptionSample:
    """Return the sample that all arguments make together.

    Raises:
        SamDataError: A file is missing or no image, a folder or a pattern has none; the message names each.
    """
    sample = _sample(" ".join(words), words)
    (checked,) = _checked([sample])
    if checked.error is not None:
        raise SamDataError(checked.error)
    return checked


def each_sample(words: Sequence[str]) -> list[CaptionSample]:
    """Return a sample for each folder, image, and line of a list; what is wrong with one stands in its `error`.

    Args:
        words: Folders, images, patterns of either, lists (.txt, .list), or `-` for a list on standard input. A line of
            a list holds a folder, or images that spaces separate; names with spaces are quoted.

    Raises:
        SamDataError: A list that cannot be read, or no sample at all.
    """
    samples: list[CaptionSample] = []
    for word in words:
        if word == _STDIN or word.lower().endswith(_LIST_SUFFIXES):
            samples += [_line(line) for line in _lines(word)]
        else:
            samples += [_sample(path, [path]) for path in _expanded(word)]
    if not samples:
        raise SamDataError(f"--each: found no sample in {' '.join(words)}, wanted folders, images, or lists of them.")
    return _checked(samples)


def _lines(word: str) -> Iterator[str]:
    try:
        text = sys.stdin.read() if word == _STDIN else Path(word).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SamDataError(f"{word}: cannot be read as a list of samples ({error}); wanted UTF-8 text.") from error
    yield from (line.strip() for line in text.splitlines() if line.strip())


def _line(line: str) -> CaptionSample:
    try:
        return _sample(line, shlex.split(line))
    except ValueError as error:
        return CaptionSample(line, (), f"{line}: {error}; wanted a folder, or images that spaces separate.")


def _sample(name: str, words: Sequence[str]) -> CaptionSample:
    """Return the sample of some arguments: images, and the images of folders in the order of their names."""
    from lavis_sam.datasets.collect import images_of_folder

    images: list[str] = []
    try:
        for path in (path for word in words for path in _expanded(word)):
            images += images_of_folder(Path(path)) if Path(path).is_dir() else [path]
    except SamDataError as error:
        return CaptionSample(name, (), str(error))
    return CaptionSample(name, tuple(images))


def _expanded(word: str) -> list[str]:
    """Return what a pattern matches; a path that exists, or is no pattern, is itself."""
    from lavis_sam.datasets.collect import by_name

    if Path(word).exists() or not glob.has_magic(word):
        return [word]
    found = sorted(glob.glob(word, recursive=True), key=by_name)
    return found or [word]


def _checked(samples: Sequence[CaptionSample]) -> list[CaptionSample]:
    """Decode every image once, by several threads, and note what is wrong."""
    from lavis_sam.datasets.image_check import inspect_images

    paths = list(dict.fromkeys(image for sample in samples for image in sample.images))
    files = [path for path in paths if Path(path).is_file()]
    problems = dict.fromkeys(set(paths) - set(files), "there is no such file")
    for path, problem in zip(files, inspect_images(files, full=True), strict=True):
        if problem is not None:
            problems[path] = f"{problem[0]} ({problem[1]})"
    checked = []
    for sample in samples:
        wrong = [f"{image}: {problems[image]}" for image in dict.fromkeys(sample.images) if image in problems]
        error = "; ".join(wrong) + ". Replace the file or leave it out." if wrong else None
        checked.append(sample if error is None else replace(sample, error=error))
    return checked
