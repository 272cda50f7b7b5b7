"""Files: written whole or not at all, read with bounds.

Everything is written under a temporary name in the destination's own folder (a rename across file systems would copy),
flushed to the disk and renamed over the destination in one step.
"""

import dataclasses
import hashlib
import io
import itertools
import json
import os
import secrets
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lavis_sam.errors import SamConfigurationError, SamDataError, SamError

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE_ROOT = Path(__file__).parent
# A storage that starts with this is relative to the installed package, not to the working directory.
PACKAGE_PREFIX = "package:"
# A document is read as a whole and takes several times its size in memory; the largest known annotation file (VIST's
# training split) has about 0.2 GB.
MAX_JSON_BYTES = 2 * 1024**3
# JSON lines are read one by one, so only a line has a limit.
MAX_LINE_BYTES = 64 * 1024**2
_JSON_NAMES: dict[type, str] = {dict: "an object", list: "a list"}
# Long enough to recognise the file by, short enough that prefix and suffix fit into 255 bytes.
_RECOGNISABLE_CHARACTERS = 40


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; on success it replaces `path`, on an exception it is removed.

    The temporary name is hidden and ends in `.tmp`, so no reader that globs for data files picks it up, even after
    a crash. Writers that add or demand a suffix (`numpy.save`, `PIL.Image.save`) need an open file or a format.
    Missing parent folders are made; a symbolic link keeps pointing at its (replaced) target.

    Yields:
        The temporary path; the block must leave a file there.

    Raises:
        FileNotFoundError: The block ended without writing the file.
        SamConfigurationError: `path` is a device or a pipe.
    """
    destination = Path(os.path.realpath(path))
    if destination.exists() and not destination.is_file() and not destination.is_dir():
        # The administrator of a container may replace even /dev/null, and everything there would miss it.
        raise SamConfigurationError(f"{path}: is a device or a pipe, which is not to be replaced; give a file's path.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(
        f".{destination.name[:_RECOGNISABLE_CHARACTERS]}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    )
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, destination)
        # The rename itself lives in the folder; some file systems cannot flush one, and then it is up to them.
        with suppress(OSError):
            _flush_to_disk(destination.parent)
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 and with the line ends as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], obj: Any, *, indent: int | None = 2) -> None:
    """Write `obj` to `path` atomically as strict JSON (UTF-8, a final newline).

    Paths become strings, data classes dictionaries, arrays and tensors (scalars too) plain lists and numbers.

    Args:
        indent: Spaces a level; None writes one line.

    Raises:
        SamDataError: `obj` holds something that JSON cannot say (NaN and infinity included); nothing was written.
    """
    write_text(path, to_json(obj, indent=indent, place=str(path)) + "\n")


def to_json(obj: Any, *, indent: int | None = 2, place: str = "the JSON output") -> str:
    """Return strict JSON text of `obj`; see `write_json`.

    Args:
        indent: Spaces a level; None gives one line.
        place: What an error names as the destination.

    Raises:
        SamDataError: `obj` holds something that JSON cannot say.
    """
    try:
        return json.dumps(obj, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise SamDataError(
            f"{place}: {error}. JSON holds text, finite numbers, booleans, null, lists and dictionaries; "
            "convert the value before writing it."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # numpy and torch, without importing either
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `tensors` to `path` atomically in the safetensors format.

    Args:
        tensors: Name -> tensor of any shape; views and non-contiguous tensors are copied, which the format needs.
        metadata: Text -> text, kept in the file's header.
    """
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask allows; the library would keep the file private
        save_file(plain, temporary, metadata=dict(metadata) if metadata else None)
        temporary.chmod(mode)


def write_shard(path: str | os.PathLike[str], members: Iterable[tuple[str, str, bytes]]) -> dict[str, Any]:
    """Write a webdataset shard atomically, with the same bytes whenever and wherever it is written.

    The bytes are those of webdataset's own `TarWriter`, which brings PyTorch: 1.2 s and 0.5 GB that nobody who writes
    shards should pay for. `TarWriter` also sorts the members of a sample by name, which puts a tenth image before the
    second and the record behind the images; here they stay in the order given.

    Args:
        path: The tar file to make or replace.
        members: (key of the sample, name behind the key, content); a sample's members stand together.

    Returns:
        `bytes` and `sha256` of the file, as a manifest lists them.
    """
    with atomic_path(path) as temporary:
        with (
            temporary.open("wb") as file,
            tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for key, name, content in members:
                member = tarfile.TarInfo(f"{key}.{name}")
                member.size, member.mode = len(content), 0o644
                archive.addfile(member, io.BytesIO(content))
        return {"bytes": temporary.stat().st_size, "sha256": sha256_of(temporary)}


class UnusableFileError(ValueError):
    """What is wrong with a file: `kind` is a short class, `reason` the value found and the value wanted."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind, self.reason = kind, reason


def parse_json(data: bytes) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark.

    Raises:
        UnusableFileError: It is not UTF-8, not JSON, or nested more deeply than Python reads.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnusableFileError("not UTF-8", f"byte {error.start}: {error.reason}; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UnusableFileError("not JSON", str(error)) from error


def load_bytes(path: str | os.PathLike[str], *, most_bytes: int | None = None) -> bytes:
    """Read a whole file that somebody else wrote.

    Raises:
        UnusableFileError: It cannot be read, or has more than `most_bytes` (by default `MAX_JSON_BYTES`).
    """
    try:
        size, most = os.stat(path).st_size, most_bytes or MAX_JSON_BYTES
        if size > most:
            raise UnusableFileError("file too large", f"found {size} bytes, wanted at most {most}")
        return Path(path).read_bytes()
    except OSError as error:
        raise UnusableFileError("unreadable file", str(error.strerror or error)) from error


def load_json(path: str | os.PathLike[str], *, most_bytes: int | None = None) -> Any:
    """Read a JSON document that somebody else wrote.

    Raises:
        UnusableFileError: It cannot be read, has more than `most_bytes`, is not UTF-8 or not JSON.
    """
    return parse_json(load_bytes(path, most_bytes=most_bytes))


def read_json(
    path: str | os.PathLike[str],
    *,
    remedy: str,
    error: type[SamError] = SamDataError,
    wanted: type | None = None,
    most_bytes: int | None = None,
) -> Any:
    """Read a JSON document, or say in one error which file it is, what is wrong with it and what to do.

    Args:
        remedy: A sentence on what to do.
        wanted: `dict` or `list`, where the document has to be one.
        most_bytes: The largest file that makes sense, `MAX_JSON_BYTES` unless it is given.

    Raises:
        SamError: Of the class `error`, see `load_json`; or the document is not what is `wanted`.
    """
    try:
        found = load_json(path, most_bytes=most_bytes)
    except UnusableFileError as problem:
        raise error(f"{path}: {problem}. {remedy}") from problem
    if wanted is not None and not isinstance(found, wanted):
        raise error(f"{path}: found a {type(found).__name__}, wanted {_JSON_NAMES[wanted]}. {remedy}")
    return found


def numbered_lines(
    path: str | os.PathLike[str], *, remedy: str, most_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that somebody else wrote, with their numbers from 1 and their line ends.

    Args:
        remedy: A sentence on what to do.

    Raises:
        OSError: It cannot be read.
        SamDataError: A line has more than `most_bytes`.
    """
    with open(path, "rb") as file:
        for number in itertools.count(1):
            line = file.readline(most_bytes + 1)
            if len(line) > most_bytes:
                raise SamDataError(f"{path}:{number}: found a line of more than {most_bytes} bytes. {remedy}")
            if not line:
                return
            yield number, line


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def leaves_root(path: str) -> bool:
    """Return whether a path with `/` between its parts is absolute or climbs with `..`, wherever it ends."""
    return path.startswith("/") or ".." in path.split("/")


def walk_folder(root: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as `os.walk` does, except that one which cannot be listed is an error and not an empty one.

    Raises:
        SamDataError: It names the folder.
    """

    def refuse(error: OSError) -> None:
        raise SamDataError(
            f"{error.filename}: cannot be listed ({error.strerror}). Check that the folder is there and readable."
        ) from error

    return os.walk(root, onerror=refuse)


def storage_path(storage: str) -> Path:
    """Return where a `storage` of a data set's configuration points.

    Relative paths are relative to the working directory (LAVIS's cache root is a folder that nobody has), `~` is the
    home directory, and `package:assets/x` is relative to the installed package.
    """
    if storage.startswith(PACKAGE_PREFIX):
        return PACKAGE_ROOT / storage.removeprefix(PACKAGE_PREFIX)
    return Path(os.path.abspath(os.path.expanduser(storage)))


def expand_storage(storage: str) -> list[str]:
    """Return the places that a `storage` of webdataset shards stands for.

    As webdataset has it: `a/{000000..000042}.tar` counts, `::` separates several, `pipe:` begins a command, and
    `http://`, `https://`, `s3://`, … a URL. Anything else is a local path (see `storage_path`), returned absolute.

    Raises:
        SamConfigurationError: Braces that are not closed, or an environment variable that is not set.
    """
    from webdataset.shardlists import expand_urls  # and with it PyTorch

    try:
        urls = expand_urls(storage)
    except (ValueError, AssertionError) as error:
        raise SamConfigurationError(f"storage: found {storage!r}, which webdataset cannot expand: {error}.") from error
    return [url if is_remote(url) else str(storage_path(url.removeprefix("file://"))) for url in urls]


def is_remote(storage: str) -> bool:
    """Return whether a storage is a `pipe:` command or a URL, which no file system can look at."""
    return storage.startswith("pipe:") or ("://" in storage and not storage.startswith("file://"))
