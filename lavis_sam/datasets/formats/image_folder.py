"""Finding the image that a release means, although its file is named a little differently."""

import os
import unicodedata
from pathlib import Path

from lavis_sam.files import leaves_root, walk_folder

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")


class ImageFolder:
    """The images below a folder, found by the end of their path.

    A name matches a file exactly, or else whatever its extension, upper or lower case, Unicode form and the folders in
    front. The folder is walked once, and only if an image is not where it should be.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is walked here.

        Args:
            root: The folder; links out of it are left to `ImageCheck` to refuse.
        """
        self._root = root
        self._files: list[str] | None = None
        self._by_tail: dict[int, dict[tuple[str, ...], list[str]]] = {}

    def find(self, *images: list[str]) -> tuple[str, ...]:
        """Return one path, relative to the root, for each image.

        Args:
            images: For each, the names that its file may have, the best name first.

        Returns:
            What was found; the best name itself where nothing was, or where it would leave the root, so that
            `ImageCheck` reports it with all else that is wrong.

        Raises:
            SamDataError: A folder cannot be listed.
        """
        return tuple(self._find_one(names) for names in images)

    def _find_one(self, names: list[str]) -> str:
        if any(map(leaves_root, names)):
            return names[0]
        return next((path for name in names if (path := self._find(name)) is not None), names[0])

    def _find(self, name: str) -> str | None:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or "\0" in name:
            return None
        exact = "/".join(parts)
        if has_image_suffix(exact) and _is_file(self._root / exact):
            return exact
        candidates = self._with_tail(len(parts)).get(_key(parts), [])
        # The extension that was asked for, then the shortest way; the rest of the order only has to be always the same.
        suffix = os.path.splitext(exact)[1].lower()
        ranked = sorted(candidates, key=lambda path: (not path.lower().endswith(suffix), path.count("/"), path))
        return ranked[0] if ranked else None

    def _with_tail(self, length: int) -> dict[tuple[str, ...], list[str]]:
        if length not in self._by_tail:
            index: dict[tuple[str, ...], list[str]] = {}
            for path in self._walked():
                parts = path.split("/")
                if len(parts) >= length:
                    index.setdefault(_key(parts[-length:]), []).append(path)
            self._by_tail[length] = index
        return self._by_tail[length]

    def _walked(self) -> list[str]:
        if self._files is None:
            self._files = []
            for folder, folders, files in walk_folder(self._root):
                folders[:] = [name for name in folders if not name.startswith(".")]
                below = os.path.relpath(folder, self._root).replace(os.sep, "/")
                prefix = "" if below == "." else f"{below}/"
                self._files += [prefix + name for name in files if has_image_suffix(name)]
        return self._files


def has_image_suffix(name: str) -> bool:
    """Return whether a file name ends like an image's, in upper or lower case, before a `?query` of its address."""
    return name.split("?")[0].lower().endswith(IMAGE_SUFFIXES)


def without_suffix(name: str) -> str:
    """Return a file name without query and image extension."""
    plain = name.split("?")[0]
    return plain[: plain.rindex(".")] if has_image_suffix(plain) else name


def _key(parts: list[str]) -> tuple[str, ...]:
    *folders, name = parts
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in (*folders, without_suffix(name)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or half of a surrogate pair
        return False
