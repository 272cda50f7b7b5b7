"""Paths that strangers wrote, into annotations, manifests and tar files; and folders that they filled."""

import os
from collections.abc import Iterator

from lavis_sam.errors import SamDataError


def leaves_root(path: str) -> bool:
    """Whether a path with `/` between its parts is absolute or climbs with `..`, even if it stays inside in the end."""
    return path.startswith("/") or ".." in path.split("/")


def walked(root: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk`, except that a folder which cannot be listed is an error and not an empty one.

    Raises:
        SamDataError: It names the folder.
    """

    def refuse(error: OSError) -> None:
        raise SamDataError(
            f"{error.filename}: cannot be listed ({error.strerror}). Check that the folder is there and readable."
        ) from error

    return os.walk(root, onerror=refuse)
