"""A finished data set copied to anything that fsspec writes to: s3://…, gs://…, another file system.

Samples are made in a folder, where they can be looked at and replaced, and copied when they are complete. The first
file there says which data set it is, the manifest comes last: a copy without one is unfinished, and the same command
goes on. Object stores show an object when all of it has come, so none is half there; elsewhere a file of another size
is sent again.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.files import walk_folder
from lavis_sam.locks import LOCK_FILE
from lavis_sam.progress import tracked
from lavis_sam.synthesis.finished import reading_finished
from lavis_sam.synthesis.work_folder import MANIFEST

# Holds the SHA-256 of the manifest that the copy will have.
MARK = "copy_of.txt"
# Files that a file system with many connections sends at a time.
_AT_A_TIME = 64
# Where the first part of an address is a bucket, which fsspec would make if there is none.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs"}


def copy_dataset(root: Path, url: str) -> int:
    """Copy the finished data set in `root` to `url`; what is there already is not sent again.

    Returns:
        How many files were sent.

    Raises:
        SamConfigurationError: No file system or bucket for such an address, no access to it, or another data set is
            there.
        SamDataError: `root` holds no finished data set.
        OSError: The other side failed.
    """
    with reading_finished(root):
        mark = hashlib.sha256((root / MANIFEST).read_bytes()).hexdigest()
    with _reached(url):
        return _copy(root, mark, url)


def _copy(root: Path, mark: str, url: str) -> int:
    system, target = _file_system(url)
    if _is_there(system, target, mark, url):
        sizes = {name: entry["size"] for name, entry in system.find(target, detail=True).items()}
    else:
        system.makedirs(target, exist_ok=True)
        system.pipe_file(f"{target}/{MARK}", mark.encode("ascii"))
        sizes = {}
    names = [*_names(root), MANIFEST]  # last, and alone in its batch
    missing = [name for name in names if sizes.get(f"{target}/{name}") != (root / name).stat().st_size]
    images, last = [name for name in missing if name != MANIFEST], [name for name in missing if name == MANIFEST]
    batches = [images[start : start + _AT_A_TIME] for start in range(0, len(images), _AT_A_TIME)]
    batches += [last] if last else []
    for batch in tracked(batches, "files copied", len(batches)):
        for folder in {f"{target}/{name}".rpartition("/")[0] for name in batch}:
            system.makedirs(folder, exist_ok=True)
        system.put([str(root / name) for name in batch], [f"{target}/{name}" for name in batch])
    return len(missing)


def check_address(url: str) -> None:
    """Refuse an address that no file system is installed for, or whose bucket is not there, before anything is made.

    Raises:
        SamConfigurationError: It names the address.
        OSError: The other side failed.
    """
    with _reached(url):
        _file_system(url)


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Say what the client of an object store says, whose errors are of its own (no key, nobody there)."""
    try:
        yield
    except (SamError, OSError):
        raise
    except Exception as error:
        if type(error).__module__ == "builtins":
            raise
        raise SamConfigurationError(
            f"--copy-to: {url}: {type(error).__name__}: {error}. Correct the address, the key or the network; the same "
            "command with --resume goes on."
        ) from error


def _file_system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    if "://" not in url:
        raise SamConfigurationError(f"--copy-to: found {url!r}, wanted an address such as s3://bucket/mmlink.")
    try:
        system, target = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise SamConfigurationError(
            f"--copy-to: found {url!r}, for which no file system is installed here ({error}); s3:// needs the package "
            "s3fs, gs:// needs gcsfs."
        ) from error
    target = target.rstrip("/")
    if url.partition("://")[0] in _OBJECT_STORES:
        bucket = target.partition("/")[0]
        # A file is asked for first: s3fs hides why it cannot see a bucket.
        if not bucket or not (system.exists(f"{target}/{MARK}") or system.exists(bucket)):
            raise SamConfigurationError(
                f"--copy-to: found {url!r}, wanted an address in a bucket that is there and that you may read: "
                f"{bucket!r} is none. Make it first."
            )
    return system, target


def _is_there(system: Any, target: str, mark: str, url: str) -> bool:
    """Return whether a copy of this very data set was begun.

    Raises:
        SamConfigurationError: Something else is there.
    """
    if not system.exists(target) or not system.find(target):
        return False
    path = f"{target}/{MARK}"
    if system.exists(path) and system.cat_file(path, end=len(mark)).decode("ascii", "replace") == mark:
        return True
    raise SamConfigurationError(
        f"--copy-to: {url} holds another data set or other files; give an address where nothing is."
    )


def _names(root: Path) -> Iterator[str]:
    """Yield all files of the data set but the manifest, relative to it, in order."""
    for folder, below, files in walk_folder(root):
        below.sort()
        for file in sorted(files):
            name = Path(folder, file).relative_to(root).as_posix()
            if name not in (MANIFEST, LOCK_FILE) and not (file.startswith(".") and file.endswith(".tmp")):
                yield name
