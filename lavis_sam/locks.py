"""A folder that one process at a time works in.

The lock is the system's (flock), on the folder itself: it ends with the process, however that ends, and needs no file,
so whoever is refused leaves the folder as it was. (`filelock` leaves a file there, and its lock outlives a killed run
for as long as a forked data worker does.)

Where a folder cannot be locked, the file `.lock` in it is: so it is on NFS, whose locks want a file that is open for
writing, and hold between machines. A file system without locks (Lustre without `-o flock`) is warned of.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lavis_sam.errors import SamConfigurationError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
# Descriptors whose closing ends a lock of this process.
_held: set[int] = set()


class FolderBusyError(SamConfigurationError):
    """Another process is working in the folder."""


@contextmanager
def locked(folder: str | os.PathLike[str], remedy: str) -> Iterator[None]:
    """Have a folder to oneself for the length of the block; one that is not there is made, and removed if left empty.

    Args:
        remedy: A sentence on what else to do than to wait.

    Raises:
        FolderBusyError: Another process works in the folder.
        SamConfigurationError: It cannot be made.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    try:
        descriptor = _acquire(folder)
    except BlockingIOError as error:
        raise FolderBusyError(
            f"{folder}: another process is working in this folder. Wait until it ends; {remedy}"
        ) from error
    except OSError as error:
        raise SamConfigurationError(
            f"{folder}: the folder cannot be made or opened ({error.strerror or error}). Check the path, {remedy}"
        ) from error
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):  # it holds something, as it should
                folder.rmdir()
        if descriptor in _held:  # not in a process that was forked meanwhile
            _held.remove(descriptor)
            os.close(descriptor)


def _acquire(folder: Path) -> int | None:
    """Lock a folder; return the descriptor that holds the lock, or None where the file system has no locks."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path, descriptor = folder, _open_locked(folder, os.O_RDONLY)
        if descriptor is None:
            path = folder / LOCK_FILE
            descriptor = _open_locked(path, os.O_RDWR | os.O_CREAT)
        if descriptor is None:
            logger.warning("%s: no locks here; see to it yourself that no other process works in this folder", folder)
            return None
        if _is_still(path, descriptor):
            _held.add(descriptor)
            return descriptor
        os.close(descriptor)


def _open_locked(path: Path, flags: int) -> int | None:
    """Open and lock; None where this kind of file cannot be locked."""
    if fcntl is None:
        return None
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether the path is still the file that was opened: whoever held the lock before may have removed it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


def _release_in_child() -> None:
    # A data worker shares its parent's descriptors: it would hold the lock of a parent that was killed.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
