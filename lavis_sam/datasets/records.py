"""Reading annotation files that somebody else wrote: bounded, as UTF-8, with or without a byte order mark."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lavis_sam.datasets.problems import AnnotationProblem
from lavis_sam.errors import SamDataError

# A document is read as a whole and takes several times its size in memory; the largest known annotation file (VIST's
# training split) has about 0.2 GB. JSON lines are read one by one, so only a line has a limit.
MAX_DOCUMENT_BYTES = 2 * 1024**3
MAX_LINE_BYTES = 64 * 1024**2

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnreadableFileError(SamDataError):
    """A file as a whole cannot be read; `problem` says so in a report's form."""

    def __init__(self, kind: str, path: Path, message: str) -> None:
        super().__init__(f"{path}: {kind}: {message}.")
        self.problem = AnnotationProblem(kind, str(path), message, whole_file=True)


def read_bytes(path: Path) -> bytes:
    """A whole file.

    Raises:
        UnreadableFileError: No such file, a folder, or too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_DOCUMENT_BYTES:
            message = f"found {size} bytes, wanted at most {MAX_DOCUMENT_BYTES}; write it as JSON lines"
            raise UnreadableFileError("file too large", path, message)
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def read_json(path: Path) -> Any:
    """A whole JSON document.

    Raises:
        UnreadableFileError: No such file, too large, not UTF-8, or not JSON.
    """
    try:
        return json.loads(read_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnreadableFileError("not UTF-8", path, f"byte {error.start}: {error.reason}; save it as UTF-8") from error
    except UnreadableFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError("not JSON", path, str(error)) from error


def read_records(path: Path, problems: list[AnnotationProblem]) -> Iterator[tuple[str, Any]]:
    """The records of a JSON list, or of a file with one JSON value a line, each with its place.

    Args:
        path: The file; lines if it ends in .jsonl or its first character is not `[`.
        problems: What cannot be read or parsed is appended here.

    Yields:
        Place ("file[index]" or "file:line") and value.
    """
    try:
        if path.suffix.lower() != ".jsonl" and _first_character(path) == b"[":
            for index, record in enumerate(read_json(path)):
                yield f"{path}[{index}]", record
        else:
            yield from _read_lines(path, problems)
    except UnreadableFileError as error:
        problems.append(error.problem)


def _first_character(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UnreadableFileError:
    message = f"{error.strerror or error}; build_info.annotations (or --annotations) must name an existing file"
    return UnreadableFileError("unreadable file", path, message)


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
