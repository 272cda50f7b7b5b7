"""Reading annotation files that somebody else wrote: bounded, as UTF-8, with or without a byte order mark."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from lavis_sam.datasets.problems import AnnotationProblem, shown
from lavis_sam.errors import SamDataError
from lavis_sam.files import MAX_LINE_BYTES, UnusableFileError, load_bytes, load_json, parse_json

_REMEDIES = {
    "file too large": "; write it as JSON lines",
    "unreadable file": "; build_info.annotations (or --annotations) must name an existing file",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WANTED = "wanted a JSON list of records, or one record a line"
# How others call the list that they put into an object.
_LIST_KEYS = ("annotations", "data", "samples", "records", "items")
_OPENING = (b"{", b"[")


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
            _refuse_document(path)
            yield from _read_lines(path, problems)
    except UnreadableFileError as error:
        problems.append(error.problem)


def _first_character(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(4096).removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        kind, reason = "unreadable file", str(error.strerror or error)
        raise UnreadableFileError(kind, path, reason + _REMEDIES[kind]) from error


def _refuse_document(path: Path) -> None:
    """Refuse one document over many lines, which would be called wrong line by line, and an object around the list.

    Raises:
        UnreadableFileError: It is one of these.
    """
    with _opened(path) as file:
        lines = (
            line.removeprefix(_BYTE_ORDER_MARK).strip() for line in iter(partial(file.readline, MAX_LINE_BYTES), b"")
        )
        first, second = islice(chain(filter(None, lines), (b"", b"")), 2)
    try:
        document = parse_json(first)
    except UnusableFileError:
        try:
            document = load_json(path)
        except UnusableFileError as error:
            if first in _OPENING:
                raise UnreadableFileError(error.kind, path, f"{error.reason}; {_WANTED}") from error
            return  # a damaged line, which is one problem of many lines
    else:
        if second or not isinstance(document, dict) or _list_in(document) not in _LIST_KEYS:
            return
    if not isinstance(document, dict):
        raise UnreadableFileError("wrong type", path, f"found a list over several lines, {_WANTED}; call it .json")
    key = _list_in(document)
    remedy = "" if key is None else f"; take the list under {key!r} out, such as by `jq '.[\"{key}\"]'`"
    raise UnreadableFileError("wrong type", path, f"found an object with {shown(list(document))}, {_WANTED}{remedy}")


def _list_in(document: dict[str, Any]) -> str | None:
    """Return the key of a document's list of records: of a usual name, or the only list of objects."""
    lists = [key for key, found in document.items() if isinstance(found, list) and isinstance((found or [0])[0], dict)]
    return next((key for key in _LIST_KEYS if key in lists), lists[0] if len(lists) == 1 else None)


def _read_lines(path: Path, problems: list[AnnotationProblem]) -> Iterator[tuple[str, Any]]:
    with _opened(path) as file:
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
                record = parse_json(line)
            except UnusableFileError as error:
                problems.append(AnnotationProblem(error.kind, place, f"{error.reason}; wanted one JSON object a line"))
            else:
                yield place, record
