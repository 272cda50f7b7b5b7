"""The layout of the shards that we write: names of members, checksums, and the manifest.

A sample is `<key>.json`, its record of the unified format, and `<key>.1.jpg`, `<key>.2.png`, …, its images in order
and unchanged: what webdataset groups by the name up to the first dot. Beyond the unified format, the record has the
CRC-32 of itself and of the images (under `crc32`), which shows a flipped bit that neither JSON nor an image's decoder
would notice. `samples` says what else is read.

`manifest.json` lists the shards under `shards`: `file` (relative to the manifest), `samples`, `bytes`, `sha256`.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.datasets.problems import shown
from lavis_sam.datasets.records import read_document
from lavis_sam.errors import SamDataError
from lavis_sam.files import leaves_root, to_json

MANIFEST = "manifest.json"
CHECKSUMS = "crc32"
ANNOTATION = "json"

# Of compressed tar files, which cannot be read by place: the program that unpacks them, by the end of their name and by
# their first bytes.
_UNPACKERS = {
    (".tar.gz", ".tgz"): (b"\x1f\x8b", "gunzip"),
    (".tar.bz2", ".tbz2"): (b"BZh", "bunzip2"),
    (".tar.xz", ".txz"): (b"\xfd7zXZ\0", "unxz"),
    (".tar.zst", ".tzst"): (b"\x28\xb5\x2f\xfd", "unzstd"),
}

_EXTENSION = re.compile(r"\.[a-z0-9]{1,5}")


@dataclass(frozen=True)
class ShardFile:
    """A shard and what the manifest says of it; None where there is no manifest."""

    path: Path
    samples: int | None = None
    bytes: int | None = None
    sha256: str | None = None


def image_name(number: int, image: str) -> str:
    """Return the name behind the key of image `number` (from 1); it keeps the extension of the path `image`, if any."""
    extension = Path(image).suffix.lower()
    return f"{number}{extension if _EXTENSION.fullmatch(extension) else ''}"


def record_checksum(record: Mapping[str, Any]) -> int:
    """Return CRC-32 of a record's content, its own checksums left out, however its JSON is spaced."""
    content = {key: value for key, value in record.items() if key != CHECKSUMS}
    return zlib.crc32(to_json(content, indent=None).encode("utf-8", "surrogatepass"))


def shard_files(path: Path) -> list[ShardFile]:
    """List the shards that a path stands for: a tar file, those of a folder's manifest, or all of a folder's tar files.

    Raises:
        SamDataError: There is none, one is compressed, or the manifest is not one.
    """
    if not path.is_file() and (path / MANIFEST).is_file():
        return _listed(path / MANIFEST)
    found = [path] if path.is_file() else sorted((*path.glob("*.tar"), *compressed_shards(path)))
    if not found:
        raise SamDataError(
            f"{path}: found neither {MANIFEST} nor a .tar file; make shards with `lavis-sam data shards`."
        )
    for file in found:
        program = unpacker(file.name, _first_bytes(file))
        if program is not None:
            raise SamDataError(
                f"{file}: found a compressed tar file, wanted a .tar, whose images can be read by their places. Unpack "
                f"it (`{program} {file}`), or stream it by `type: webdataset` and `storage: pipe:{program} -c {file}`."
            )
    return [ShardFile(file) for file in found]


def compressed_shards(folder: Path) -> list[Path]:
    """Return the compressed tar files of a folder, without those that lie there unpacked as well."""
    ends = [end for names in _UNPACKERS for end in names]
    files = [(file, end) for file in folder.glob("*.t*") for end in ends if file.name.endswith(end)]
    return [file for file, end in files if not file.with_name(f"{file.name.removesuffix(end)}.tar").exists()]


def unpacker(name: str, start: bytes = b"") -> str | None:
    """Find what unpacks a tar file of this name, or that begins like this; None for one that is not compressed.

    What begins like a tar file's header is none of them, whatever its name.
    """
    for ends, (mark, program) in _UNPACKERS.items():
        if start.startswith(mark) or (not start and name.endswith(ends)):
            return program
    return None


def _first_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(8)
    except OSError as error:
        raise SamDataError(f"{file}: cannot be read ({error.strerror or error}).") from error


def _listed(manifest: Path) -> list[ShardFile]:
    content = read_document(manifest)
    entries = content.get("shards") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise SamDataError(f"{manifest}: shards: found {shown(entries)}, wanted a list of at least one shard.")
    return [_shard_file(manifest, index, entry) for index, entry in enumerate(entries)]


def _shard_file(manifest: Path, index: int, entry: Any) -> ShardFile:
    wanted = {"file": str, "samples": int, "bytes": int, "sha256": str}
    if not isinstance(entry, dict) or any(type(entry.get(key)) is not kind for key, kind in wanted.items()):
        raise SamDataError(f"{manifest}: shards[{index}]: found {shown(entry)}, wanted {', '.join(wanted)}.")
    file = entry["file"]
    if leaves_root(file) or "\0" in file or not file.endswith(".tar"):
        raise SamDataError(
            f"{manifest}: shards[{index}].file: found {file!r}, wanted a .tar below the manifest's own folder."
        )
    path = manifest.parent / file
    if path.is_symlink() or not path.is_file():
        raise SamDataError(f"{manifest}: shards[{index}].file: there is no file {path}; write the shards again.")
    return ShardFile(path, entry["samples"], entry["bytes"], entry["sha256"])
