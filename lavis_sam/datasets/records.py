"""Reading annotation files that somebody else wrote: bounded, as UTF-8, with or without a byte order mark."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lavis_sam.datasets.problems import AnnotationProblem
from lavis_sam.errors import SamDataError
from lavis_sam.files import UnusableFileError, load_bytes, load_json

# JSON lines are read one by one, so only a line has a limit.
MAX_LINE_BYTES = 64 * 1024**2

_REMEDIES = {
    "file too large": "; write it as JSON lines",
    "unreadable file": "; build_info.annotations (or --annotations) must name an existing file",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnreadableFileError(SamDataError):
    """A file as a whole cannot be read; `problem` says so in a report's form."""

    def __init__(self, kind: str, path: Path, message: str) -> None:
        super().__init__(f"{path}: {kind}: {message}.")
        self.problem = AnnotationProblem(kind, str(path), message, whole_file=True)


def read_document(path: Path) -> Any:
    """Read a whole JSON document.

    Raises:
        UnreadableFileError: No such file, too large, not UTF-8, or not JSON.
    """
    return _checked(path, load_json)


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        UnreadableFileError: No such file, a folder, or too large.
    """
    return _checked(path, load_bytes)


def _checked(path: Path, load: Callable[[Path], Any]) -> Any:
    try:
        return load(path)
    except UnusableFileError as error:
        raise UnreadableFileError(error.kind, path, error.reason + _REMEDIES.get(error.kind, "")) from error


def read_records(path: Path, problems: list[AnnotationProblem]) -> Iterator[tuple[str, Any]]:
    """Yield the records of a JSON list, or of a file with one JSON value a line, each with its place.

    Args:
        path: The file; lines if it ends in .jsonl or its first character is not `[`.
        problems: What cannot be read or parsed is appended here.

    Yields:
        Place ("file[index]" or "file:line") and value.
    """
    try:
        if path.suffix.lower() != ".jsonl" and _first_character(path) == b"[":
            for index, record in enumerate(read_document(path)):
                yield f"{path}[{index}]", record
        else:
            yield from _read_lines(path, problems)
    except UnreadableFileError as error:
        problems.append(error.problem)


def _first_character(path: Path) -> bytes:
    return _checked(path, _start).removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise UnusableFileError("unreadable file", str(error.strerror or error)) from error


def _read_lines(path: Path, problems: list[AnnotationProblem]) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            place = f"{path}:{number}"
            if len(line) > MAX_LINE_BYTES:
                message = f"line {number} has more than {MAX_LINE_BYTES} bytes, wanted one JSON object a line"
                raise UnreadableFileError("file too large", path, message)
            line = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                problems.append(AnnotationProblem("not UTF-8", place, f"byte {error.start}: {error.reason}"))
            except (ValueError, RecursionError) as error:
                problems.append(AnnotationProblem("not JSON", place, f"{error}; wanted one JSON object a line"))
            else:
                yield place, record
