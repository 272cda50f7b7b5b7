"""From a folder of pictures to samples: a folder for each sample, its pictures and its text in it."""

import os
import re
from pathlib import Path

from lavis_sam.datasets.formats.picture_folder import has_picture_suffix
from lavis_sam.datasets.formats.reading import REFERENCE_SEPARATOR
from lavis_sam.datasets.report import AnnotationProblem, AnnotationReport
from lavis_sam.datasets.schema import scan_records
from lavis_sam.errors import SamDataError

ANSWER_FILE, INSTRUCTION_FILE = "caption.txt", "instruction.txt"
_MOST_TEXT_BYTES = 1024**2


def collect_folder(root: Path, instruction: str) -> AnnotationReport:
    """Make a sample of every folder below `root` that holds pictures.

    Pictures are ordered by name, numbers by their value (2 before 10). The text is in `caption.txt`, one reference a
    line; an `instruction.txt` takes the place of `instruction`. The sample's id is the folder's path.

    Args:
        root: The folder that becomes the data set; hidden folders are left out.
        instruction: What the model is asked about each sample.

    Returns:
        Samples and problems; every picture is decoded once.

    Raises:
        SamDataError: There is no such folder, no folder below it holds pictures, or the instruction is empty.
    """
    if not instruction.strip():
        raise SamDataError("--instruction: found an empty text, wanted what to ask about each sample.")
    report = AnnotationReport()
    records: list[tuple[str, dict[str, object]]] = []
    for folder, pictures in _folders_with_pictures(root):
        place = str(root / folder)
        if folder == ".":
            message = f"{len(pictures)} picture(s) beside the folders, such as {pictures[0]}"
            report.problems.append(AnnotationProblem("no sample's folder", place, message))
            continue
        try:
            references = _lines(root / folder / ANSWER_FILE)
            asked = _lines(root / folder / INSTRUCTION_FILE, missing=[instruction])
        except ValueError as error:
            report.problems.append(AnnotationProblem("no text", place, str(error)))
            continue
        record: dict[str, object] = {
            "id": folder,
            "img_list": [f"{folder}/{name}" for name in pictures],
            "instruction": "\n".join(asked),
            "output": REFERENCE_SEPARATOR.join(references),
            "references": references,
        }
        records.append((place, record))
    if not records:
        raise SamDataError(
            f"{root}: found no folder with pictures and {ANSWER_FILE} in it, wanted one for each sample.\n"
            f"{report.summary()}"
        )
    scan_records(records, root, report, check="full")
    return report


def _folders_with_pictures(root: Path) -> list[tuple[str, list[str]]]:
    if not root.is_dir():
        raise SamDataError(f"{root}: there is no such folder.")
    found = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]
        pictures = sorted((name for name in files if has_picture_suffix(name)), key=_natural)
        if pictures:
            found.append((os.path.relpath(folder, root).replace(os.sep, "/"), pictures))
    return sorted(found, key=lambda entry: _natural(entry[0]))


def _lines(path: Path, missing: list[str] | None = None) -> list[str]:
    """The lines of a text file that are not empty.

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


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts numbers in names by their value, and names that differ in nothing else always the same way."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if part[:1].isdigit() and part.isascii() else (-1, part.casefold()) for part in parts], name
