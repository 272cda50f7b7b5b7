"""From a folder of images to samples: a folder for each sample, its images and its text in it."""

import os
import re
from pathlib import Path

from lavis_sam.datasets.annotations import scan_records
from lavis_sam.datasets.formats.image_folder import IMAGE_SUFFIXES, has_image_suffix
from lavis_sam.datasets.formats.reading import REFERENCE_SEPARATOR
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport
from lavis_sam.errors import SamDataError
from lavis_sam.files import walk_folder

ANSWER_FILE, INSTRUCTION_FILE = "caption.txt", "instruction.txt"
_MOST_TEXT_BYTES = 1024**2
_WANTED = f"wanted {', '.join(IMAGE_SUFFIXES)}"
# What telephones and cameras write, and is not read here. A sample must not lose an image in silence.
_OTHER_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd", ".svg")


def collect_folder(root: Path, instruction: str) -> AnnotationReport:
    """Make a sample of every folder below `root` that holds images.

    Images are ordered by name, numbers by their value (2 before 10). The text is in `caption.txt`, one reference a
    line; an `instruction.txt` takes the place of `instruction`. The sample's id is the folder's path.

    Args:
        root: The folder that becomes the data set; hidden folders are left out.
        instruction: What the model is asked about each sample.

    Returns:
        Samples and problems; every image is decoded once.

    Raises:
        SamDataError: There is no such folder, no folder below it holds images, or the instruction is empty.
    """
    if not instruction.strip():
        raise SamDataError("--instruction: found an empty text, wanted what to ask about each sample.")
    report = AnnotationReport()
    records: list[tuple[str, dict[str, object]]] = []
    for folder, files in _folders(root):
        place = str(root / folder)
        images = sorted(filter(has_image_suffix, files), key=by_name)
        problem = _problem(root, folder, files, images)
        if problem is not None:
            report.problems.append(problem)
        if not images or (problem is not None and problem.drops):
            continue
        try:
            references = _lines(root / folder / ANSWER_FILE)
            asked = _lines(root / folder / INSTRUCTION_FILE, missing=[instruction])
        except ValueError as error:
            report.problems.append(AnnotationProblem("no text", place, str(error)))
            continue
        record: dict[str, object] = {
            "id": folder,
            "img_list": [f"{folder}/{name}" for name in images],
            "instruction": "\n".join(asked),
            "output": REFERENCE_SEPARATOR.join(references),
            "references": references,
        }
        records.append((place, record))
    if not records:
        message = f"{root}: found no folder with images and {ANSWER_FILE} in it, wanted one for each sample."
        raise SamDataError("\n".join(filter(None, [message, report.summary()])))
    scan_records(records, root, report, check="full")
    return report


def images_of_folder(folder: Path) -> list[str]:
    """Return the paths of the images that stand in a folder, in the order of their names; hidden files do not count.

    Raises:
        SamDataError: It has none, or one that is not read here, or it cannot be listed.
    """
    try:
        files = [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise SamDataError(f"{folder}: cannot be listed ({error.strerror or error}).") from error
    images = sorted(filter(has_image_suffix, files), key=by_name)
    if others := [name for name in files if name.lower().endswith(_OTHER_SUFFIXES)]:
        raise SamDataError(
            f"{folder}: {len(others)} image(s) that cannot be read, such as {min(others)}; {_WANTED}. Convert them, or "
            f"name the others, such as '{folder}/*.jpg'."
        )
    if not images:
        raise SamDataError(f"{folder}: found no image in this folder; {_WANTED}.")
    return [str(folder / name) for name in images]


def _folders(root: Path) -> list[tuple[str, list[str]]]:
    """Return every folder, by its path from `root`, and its files (of a link none); what is hidden is skipped."""
    if not root.is_dir():
        raise SamDataError(f"{root}: there is no such folder.")
    found: list[tuple[str, list[str]]] = []
    for folder, below, files in walk_folder(root):
        below[:] = [name for name in below if not name.startswith(".")]
        found.append((folder, [name for name in files if not name.startswith(".")]))
        found += [(path, []) for name in below if os.path.islink(path := os.path.join(folder, name))]
    relative = [(os.path.relpath(folder, root).replace(os.sep, "/"), files) for folder, files in found]
    return sorted(relative, key=lambda entry: by_name(entry[0]))


def _problem(root: Path, folder: str, files: list[str], images: list[str]) -> AnnotationProblem | None:
    """Return what is wrong with a folder that looks like a sample's; where an image is left out, the sample stays."""
    place = str(root / folder)
    if folder == "." and images:
        message = f"{len(images)} image(s) beside the folders, such as {images[0]}"
        return AnnotationProblem("no sample's folder", place, message)
    if folder == ".":
        return None
    if (root / folder).is_symlink():
        message = "links to folders are not followed; put the folder itself here, or copy its images"
        return AnnotationProblem("linked folder", place, message)
    others = sorted((name for name in files if name.lower().endswith(_OTHER_SUFFIXES)), key=by_name)
    if others and (images or ANSWER_FILE in files):
        left = "the sample goes on without" if images else "and there is no other"
        message = f"{len(others)} image(s) that cannot be read, such as {others[0]}, {left}; {_WANTED}"
        return AnnotationProblem("other image format", place, message, drops=not images)
    if not images and ANSWER_FILE in files:
        return AnnotationProblem("no images", place, f"{ANSWER_FILE} without an image; {_WANTED}")
    return None


def _lines(path: Path, missing: list[str] | None = None) -> list[str]:
    """Return the lines of a text file that are not empty.

    Raises:
        ValueError: It is missing (unless `missing` says what then), too large, not UTF-8, or empty.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_TEXT_BYTES + 1)
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise ValueError(f"{path.name} is missing") from None
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror or error}") from error
    if len(data) > _MOST_TEXT_BYTES:
        raise ValueError(f"{path.name} has more than {_MOST_TEXT_BYTES} bytes")
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 (byte {error.start}: {error.reason})") from error
    if not lines:
        raise ValueError(f"{path.name} is empty")
    return lines


def by_name(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts numbers in names by value, and names that differ in nothing else always the same way."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if part[:1].isdigit() and part.isascii() else (-1, part.casefold()) for part in parts], name
