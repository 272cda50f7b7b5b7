"""The members of a tar file that somebody else wrote: a damaged one is passed over, a dangerous one is refused.

A file is read once and forwards, so that a pipe does as well as a file on the disk; nothing is ever extracted.

Neither `tarfile` nor webdataset's `tar_file_expander`, which is built on it, can take this place. Both end in silence
at a damaged header, so that the rest of the shard is lost without a word; both read a member into memory whatever size
its header claims, and follow sparse maps and links. `tarfile` also takes five times as long for a header.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, NoReturn

from lavis_sam.errors import SamDataError
from lavis_sam.files import leaves_root

# No image of any known data set comes near; a member is read into memory as a whole.
MAX_MEMBER_BYTES = 256 * 1024**2
# Extended headers hold a long name or a time stamp.
_MAX_EXTENSION_BYTES = 64 * 1024
_MAX_NAME_CHARACTERS = 4096
# How far behind a damaged place the next whole header is looked for; a pipe may never end.
_MAX_SEARCH_BYTES = 4 * MAX_MEMBER_BYTES
_BLOCK = 512
_CHUNK_BYTES = 1024**2
_MAGIC, _MAGIC_PLACE = b"ustar", 257
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
# What GNU tar calls the map of a sparse file in a pax header.
_SPARSE = "GNU.sparse"
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
    """A whole file in a tar file: its name, where its bytes are, and the bytes themselves where they were wanted."""

    name: str
    offset: int
    size: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """A place of a tar file that cannot be read: byte offset, and what is wrong there."""

    offset: int
    message: str

    def __str__(self) -> str:
        return f"byte {self.offset}: {self.message}"


def read_members(
    file: BinaryIO,
    place: str,
    wants: Callable[[str, int], bool] = lambda name, size: False,
    refuses: Callable[[str, int, bytes], bool] = lambda name, size, start: False,
) -> Iterator[Member | Damage]:
    """Yield the files in an uncompressed tar file (ustar, pax or GNU), in order.

    After a damaged header, reading goes on at the next whole one.

    Args:
        file: The tar file, at its beginning; what is not wanted is skipped by seeking, where that is possible.
        place: What messages call it.
        wants: (name, bytes) -> whether the member's content is to be read.
        refuses: (name, bytes, first block of the content) -> whether a member that is wanted is damage instead; asked
            before the rest of its content is read.

    Raises:
        SamDataError: A member that no shard needs and that may do harm: a link, a device, a name that leaves the
            folder, or more than `MAX_MEMBER_BYTES`.
        OSError: The file cannot be read.
    """
    yield from _Reader(_Source(file), place, wants, refuses).members()


class _Header(NamedTuple):
    name: str
    kind: bytes
    size: int


class _Source:
    """Bytes that are read forwards; `position` is how far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._ahead, self.position = file, b"", 0
        # Pipes of webdataset have no `seekable`, and remote files seek at the price of a request.
        is_local = hasattr(file, "fileno") and file.seekable()
        self._descriptor = file.fileno() if is_local else None
        self._size = os.fstat(file.fileno()).st_size if is_local else 0

    def take(self, size: int) -> bytes:
        """Return the next bytes; fewer only at the end of the file."""
        if self._descriptor is not None:
            data = os.pread(self._descriptor, size, self.position)
        else:
            parts, self._ahead = [self._ahead[:size]], self._ahead[size:]
            missing = size - len(parts[0])
            while missing and (part := self._file.read(missing)):
                parts.append(part)
                missing -= len(part)
            data = b"".join(parts)
        self.position += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Let the next `take` begin with `data`, the last bytes taken."""
        self.position -= len(data)
        if self._descriptor is None:
            self._ahead = data + self._ahead

    def skip(self, size: int) -> bool:
        """Pass over the next bytes; False if the file ends before them."""
        end = self.position + size
        if self._descriptor is not None:
            self.position = min(end, self._size)
        else:
            while self.position < end and self.take(min(_CHUNK_BYTES, end - self.position)):
                pass
        return self.position == end


class _Reader:
    """One pass over a tar file."""

    def __init__(
        self,
        source: _Source,
        place: str,
        wants: Callable[[str, int], bool],
        refuses: Callable[[str, int, bytes], bool],
    ) -> None:
        self._source, self._place, self._wants, self._refuses = source, place, wants, refuses
        # What an extended header says of the member that follows it.
        self._next_name: str | None = None
        self._next_size: int | None = None
        self._cut_off = False

    def members(self) -> Iterator[Member | Damage]:
        """See `read_members`; each step leaves the position at a header, or at the end of the file."""
        while True:
            start = self._source.position
            block = self._source.take(_BLOCK)
            header = _parsed(block)
            if len(block) < _BLOCK:
                yield Damage(start, "the file ends without tar's end mark; it was cut off")
                return
            if header is not None:
                found = self._member(start, header)
                if found is not None:
                    yield found
                if self._cut_off:
                    return
                continue
            is_zero = block == bytes(_BLOCK)
            goes_on = self._go_to_next_header()
            if goes_on or not is_zero:  # zeros that nothing follows are the end
                yield Damage(start, "zeros where a header should be" if is_zero else "a header's checksum is wrong")
            if not goes_on:
                return
            self._next_name = self._next_size = None

    def _member(self, start: int, header: _Header) -> Member | Damage | None:
        """Return what a header announces, if it is a file; the position moves behind it."""
        extension = header.kind in _PAX_HEADERS or header.kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        name = header.name if self._next_name is None or extension else self._next_name
        size = header.size if self._next_size is None or extension else self._next_size
        size = 0 if header.kind == tarfile.DIRTYPE else size
        self._check(start, header.kind, name, size, extension=extension)
        wanted = extension or (header.kind != tarfile.DIRTYPE and self._wants(name, size))
        refused = wanted and not extension and self._refuses(name, size, self._next_block(size))
        content = self._source.take(size) if wanted and not refused else None
        whole = self._source.skip(size) if content is None else len(content) == size
        if not whole:
            self._cut_off = True
            return Damage(start, f"{name!r} ends after the end of the file; it was cut off")
        self._source.skip(-size % _BLOCK)
        if extension:
            return self._read_extension(start, header, content or b"")
        self._next_name = self._next_size = None
        if refused:
            return Damage(start, f"{name!r} has {size} bytes and does not begin as its name promises")
        return None if header.kind == tarfile.DIRTYPE else Member(name, start + _BLOCK, size, content)

    def _next_block(self, size: int) -> bytes:
        """Return the first bytes of a content, which is still to be taken."""
        block = self._source.take(min(size, _BLOCK))
        self._source.give_back(block)
        return block

    def _read_extension(self, start: int, header: _Header, data: bytes) -> Damage | None:
        fields: dict[str, str] = {}
        try:
            if header.kind == tarfile.GNUTYPE_LONGNAME:
                self._next_name = data.split(b"\0")[0].decode("utf-8")
            elif header.kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                fields = dict(_pax_fields(data))
                self._next_name = fields.get("path", self._next_name)
                self._next_size = int(fields["size"]) if "size" in fields else self._next_size
        except ValueError as error:
            return Damage(start, f"an extended header cannot be read ({error})")
        if any(key.startswith(_SPARSE) for key in fields):
            self._refuse(start, fields.get("path", header.name), "a sparse file, wanted plain files")
        return None

    def _check(self, start: int, kind: bytes, name: str, size: int, *, extension: bool) -> None:
        """Raise `SamDataError` for what is refused."""
        found = None
        if extension:
            if not 0 <= size <= _MAX_EXTENSION_BYTES:
                found = f"an extended header of {size} bytes, wanted at most {_MAX_EXTENSION_BYTES}"
        elif kind not in (*_FILES, tarfile.DIRTYPE):
            found = f"{_KINDS.get(kind, f'a member of type {kind!r}')}, wanted plain files"
        elif not 0 <= size <= MAX_MEMBER_BYTES:
            found = f"{size} bytes, wanted at most {MAX_MEMBER_BYTES}"
        elif leaves_root(name):
            found = "a name that leaves the folder, wanted a relative one without `..`"
        elif not name or "\0" in name or len(name) > _MAX_NAME_CHARACTERS or not _is_unicode(name):
            found = f"no proper name, wanted 1 to {_MAX_NAME_CHARACTERS} characters of UTF-8"
        if found is not None:
            self._refuse(start, name, found)

    def _refuse(self, start: int, name: str, found: str) -> NoReturn:
        raise SamDataError(
            f"{self._place}: member {name[:80]!r} at byte {start}: found {found}. The shard is refused; write it "
            "with `lavis-sam data shards`."
        )

    def _go_to_next_header(self) -> bool:
        """Move to the next block that is a whole header; False when there is none."""
        searched = 0
        while searched < _MAX_SEARCH_BYTES and (chunk := self._source.take(_CHUNK_BYTES)):
            searched += len(chunk)
            found = chunk.find(_MAGIC)
            while found >= 0:
                start = found - _MAGIC_PLACE
                if start >= 0 and start % _BLOCK == 0 and _parsed(chunk[start : start + _BLOCK]) is not None:
                    self._source.give_back(chunk[start:])
                    return True
                found = chunk.find(_MAGIC, found + 1)
        return False


def _parsed(block: bytes) -> _Header | None:
    """Return the fields of a header that matter here; None if its checksum is wrong."""
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
    """Yield the `length key=value` lines of a pax header.

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
