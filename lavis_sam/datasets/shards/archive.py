"""The members of a tar file that somebody else wrote: a damaged one is passed over, a dangerous one is refused.

Only headers are read here, so a shard of any size is looked through in a moment. Nothing is ever extracted.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lavis_sam.errors import SamDataError
from lavis_sam.files import leaves_root

# No image of any known data set comes near; a member is read into memory as a whole.
MAX_MEMBER_BYTES = 256 * 1024**2
# Extended headers hold a long name or a time stamp.
_MAX_EXTENSION_BYTES = 64 * 1024
_MAX_NAME_CHARACTERS = 4096
_BLOCK = 512
_SEARCH_BYTES = 1024**2
_MAGIC, _MAGIC_PLACE = b"ustar", 257
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A whole file in a tar file: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A place of a tar file that cannot be read: byte offset, and what is wrong there."""

    offset: int
    message: str

    def __str__(self) -> str:
        return f"byte {self.offset}: {self.message}"


def read_members(path: str | os.PathLike[str]) -> Iterator[Member | Damage]:
    """The files in an uncompressed tar file (ustar, pax or GNU), in order.

    After a damaged header, reading goes on at the next whole one.

    Args:
        path: The tar file.

    Yields:
        A `Member` for each whole file, a `Damage` for each place where one cannot be read.

    Raises:
        SamDataError: The file cannot be opened, or has a member that no shard needs and that may do harm: a link, a
            device, a name that leaves the folder, or more than `MAX_MEMBER_BYTES`.
    """
    try:
        with open(path, "rb") as file:
            yield from _Reader(file, Path(path)).members()
    except OSError as error:
        raise SamDataError(f"{path}: cannot be read ({error.strerror or error}).") from error


class _Header(NamedTuple):
    name: str
    kind: bytes
    size: int


class _Reader:
    """One pass over a tar file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._descriptor, self._path = file.fileno(), path
        self._size = os.fstat(self._descriptor).st_size
        self._position = 0
        # What an extended header says of the member that follows it.
        self._next_name: str | None = None
        self._next_size: int | None = None

    def members(self) -> Iterator[Member | Damage]:
        """See `read_members`; each step leaves the position at a header, or behind the end of the file."""
        while True:
            start = self._position
            block = self._read(start, _BLOCK)
            if len(block) < _BLOCK:
                yield Damage(start, "the file ends without tar's end mark; it was cut off")
                return
            if block == bytes(_BLOCK):
                if self._go_to_next_header():  # a hole in the file, not its end
                    yield Damage(start, "zeros where a header should be")
                    continue
                return
            header = _parsed(block)
            if header is None:
                yield Damage(start, "a header's checksum is wrong")
                self._next_name = self._next_size = None
                if not self._go_to_next_header():
                    return
                continue
            found = self._member(header)
            if found is not None:
                yield found
            if self._position > self._size:
                return

    def _member(self, header: _Header) -> Member | Damage | None:
        """What a header announces, if it is a file; the position moves behind it."""
        content = self._position + _BLOCK
        extension = header.kind in _PAX_HEADERS or header.kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        name = header.name if self._next_name is None or extension else self._next_name
        size = header.size if self._next_size is None or extension else self._next_size
        size = 0 if header.kind == tarfile.DIRTYPE else size
        self._check(header.kind, name, size, extension=extension)
        self._position = content + -(-size // _BLOCK) * _BLOCK
        if content + size > self._size:
            self._position = self._size + 1
            return Damage(content - _BLOCK, f"{name!r} ends after the end of the file; it was cut off")
        if extension:
            return self._read_extension(header, content, size)
        self._next_name = self._next_size = None
        return None if header.kind == tarfile.DIRTYPE else Member(name, content, size)

    def _read_extension(self, header: _Header, content: int, size: int) -> Damage | None:
        data = self._read(content, size)
        try:
            if header.kind == tarfile.GNUTYPE_LONGNAME:
                self._next_name = data.split(b"\0")[0].decode("utf-8")
            elif header.kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                fields = dict(_pax_fields(data))
                self._next_name = fields.get("path", self._next_name)
                self._next_size = int(fields["size"]) if "size" in fields else self._next_size
        except ValueError as error:
            return Damage(content - _BLOCK, f"an extended header cannot be read ({error})")
        return None

    def _check(self, kind: bytes, name: str, size: int, *, extension: bool) -> None:
        """Raise `SamDataError` for what is refused."""
        if extension:
            if not 0 <= size <= _MAX_EXTENSION_BYTES:
                self._refuse(name, f"an extended header of {size} bytes, wanted at most {_MAX_EXTENSION_BYTES}")
            return
        if kind not in (*_FILES, tarfile.DIRTYPE):
            self._refuse(name, f"{_KINDS.get(kind, f'a member of type {kind!r}')}, wanted plain files")
        if not 0 <= size <= MAX_MEMBER_BYTES:
            self._refuse(name, f"{size} bytes, wanted at most {MAX_MEMBER_BYTES}")
        if leaves_root(name):
            self._refuse(name, "a name that leaves the folder, wanted a relative one without `..`")
        if not name or "\0" in name or len(name) > _MAX_NAME_CHARACTERS or not _is_unicode(name):
            self._refuse(name[:80], f"no proper name, wanted 1 to {_MAX_NAME_CHARACTERS} characters of UTF-8")

    def _refuse(self, name: str, found: str) -> None:
        raise SamDataError(
            f"{self._path}: member {name!r} at byte {self._position}: found {found}. The shard is refused; write it "
            "with `lavis-sam data shards`."
        )

    def _go_to_next_header(self) -> bool:
        """Move to the next block that is a whole header; False when there is none."""
        position = self._position + _BLOCK
        while chunk := self._read(position, _SEARCH_BYTES):
            found = chunk.find(_MAGIC)
            while found >= 0:
                start = found - _MAGIC_PLACE
                if start >= 0 and start % _BLOCK == 0 and _parsed(chunk[start : start + _BLOCK]) is not None:
                    self._position = position + start
                    return True
                found = chunk.find(_MAGIC, found + 1)
            position += len(chunk)
        return False

    def _read(self, position: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, position)


def _parsed(block: bytes) -> _Header | None:
    """The fields of a header that matter here; None if its checksum is wrong. (`tarfile` takes five times as long.)"""
    if len(block) < _BLOCK:
        return None
    try:
        checksum = int(block[148:156].strip(b" \0"), 8)
        # A number that octal digits cannot hold is binary, with the highest bit set.
        binary = block[124] & 0x80
        size = int.from_bytes(block[125:136]) if binary else int(block[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        return None
    if checksum != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        return None
    name, kind = _text(block[:100]), block[156:157]
    if block[_MAGIC_PLACE : _MAGIC_PLACE + 6] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    if kind == tarfile.AREGTYPE and name.endswith("/"):  # a folder, before there was a type for it
        kind = tarfile.DIRTYPE
    return _Header(name, kind, size)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax_fields(data: bytes) -> Iterator[tuple[str, str]]:
    """The `length key=value` lines of a pax header.

    Raises:
        ValueError: A malformed line.
    """
    while data.strip(b"\0"):
        length_text, _, _ = data.partition(b" ")
        length = int(length_text)
        line = data[len(length_text) + 1 : max(length, 0)]
        key, equals, value = line.partition(b"=")
        if not equals or length > len(data) or not value.endswith(b"\n"):
            raise ValueError("a malformed line")
        yield key.decode("utf-8"), value[:-1].decode("utf-8")
        data = data[length:]


def _is_unicode(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
