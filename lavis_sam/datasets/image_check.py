"""Looking at the images that annotations name, before anything is trained on them."""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import BinaryIO, Literal, TypeVar, get_args

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import leaves_root

Check = Literal["paths", "quick", "full"]
_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

# Decoding happens outside Python's global lock, and files on a network answer slowly: more threads than processors.
_MOST_THREADS = 16
# Starting threads for a handful of images costs more than it saves.
_WORTH_THREADS = 64
# From here on a person at a terminal wants to know how long it takes.
_WORTH_PROGRESS = 2000
# Larger images are decoded by one thread at a time: sixteen of the largest would take 4 GB.
_LARGE_PIXELS = 2**24
# Where the last bytes of a whole file show that nothing was cut off. JPEG escapes the marker inside its data.
_TAIL_BYTES = 64
_END_MARKS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


class ImageCheck:
    """Whether an image path stays under the root and names a whole image; every path is looked at once.

    Three depths, each including the ones before:

    - "paths": the path has no `..`, does not leave the root (links followed), and names a file;
    - "quick": the header is an image's, its size is bearable, and the file has its end; where the format does not
      show its end, the image is decoded;
    - "full": the image can be decoded.
    """

    def __init__(self, root: str | os.PathLike[str], check: Check = "quick") -> None:
        """Nothing is looked at here.

        Args:
            root: The folder that the image paths are relative to.
            check: How closely to look.

        Raises:
            SamConfigurationError: An unknown depth.
        """
        if check not in get_args(Check):
            raise SamConfigurationError(unknown_name("check", check, get_args(Check), "check"))
        self.root = os.path.realpath(root)
        self._check = check
        self._folders: dict[str, str] = {}
        self._answers: dict[str, tuple[str, str] | None] = {}

    def problem(self, image: str) -> tuple[str, str] | None:
        """Return (kind, message), or None when the image is fine."""
        if image not in self._answers:
            self.look_at([image])
        return self._answers[image]

    def look_at(self, images: Iterable[str]) -> None:
        """Look at many images at once, by several threads; `problem` answers from memory afterwards."""
        paths: dict[str, str] = {}
        for image in dict.fromkeys(images):
            if image not in self._answers:
                self._answers[image], path = self._place(image)
                if path is not None and self._check != "paths":
                    paths[image] = path
        self._answers.update(zip(paths, inspect_images(list(paths.values()), full=self._check == "full"), strict=True))

    def _place(self, image: str) -> tuple[tuple[str, str] | None, str | None]:
        """Return (problem, None), or (None, the real path)."""
        wanted = f"wanted a path relative to {self.root} that stays inside it"
        if leaves_root(image):
            return ("path leaves the root", wanted), None
        try:
            image.encode("utf-8")  # what cannot be written into an annotation is refused here already
            folder, name = os.path.split(image)
            if folder not in self._folders:
                self._folders[folder] = os.path.realpath(os.path.join(self.root, folder))
            path = os.path.join(self._folders[folder], name)
            if name in ("", ".") or os.path.islink(path):
                path = os.path.realpath(path)
            if not path.startswith(self.root.rstrip(os.sep) + os.sep):
                return ("path leaves the root", wanted), None
            if not stat.S_ISREG(os.stat(path).st_mode):
                return ("missing image", f"not a file under {self.root}"), None
        except OSError as error:
            return ("missing image", f"{error.strerror} under {self.root}"), None
        except ValueError as error:  # zero bytes and lone surrogates have no place in a file name
            return ("wrong path", str(error)), None
        return None, path


def inspect_images(paths: list[str], *, full: bool) -> list[tuple[str, str] | None]:
    """Return what is wrong with each image file, if anything: (kind, message) or None.

    Args:
        paths: Files that exist.
        full: Decode every image; otherwise only where the file does not show its end.
    """
    from lavis_sam.datasets.images import whole_images_only  # Pillow is not needed to check paths

    large = threading.Lock()
    # Around all threads: the switch is one for the process.
    with whole_images_only():
        return in_threads(lambda path: _inspect(path, full=full, large=large), paths, "images")


def in_threads(look: Callable[[_Item], _Answer], items: Sequence[_Item], name: str) -> list[_Answer]:
    """Return what `look` says of every item, in order; by several threads, with a progress bar if it takes its time.

    Args:
        look: Reads or decodes, so that threads are of use.
        name: What the progress bar calls the items.
    """
    if len(items) < _WORTH_THREADS:
        return [look(item) for item in items]
    from lavis_sam.progress import tracked  # and with it rich, which few images do not need

    threads = min(_MOST_THREADS, (os.cpu_count() or 1) + 4)
    silent = len(items) < _WORTH_PROGRESS
    with ThreadPoolExecutor(threads) as pool:
        answers = pool.map(look, items)
        return list(tracked(answers, name, len(items), silent=silent))


def _inspect(path: str, *, full: bool, large: threading.Lock) -> tuple[str, str] | None:
    from lavis_sam.datasets.images import open_image

    try:
        with open(path, "rb") as file, open_image(file) as image:
            if full or not _shows_its_end(file, image.format or ""):
                image.draft(None, (1, 1))  # JPEG: decode all of the file, but at an eighth of the size
                with large if image.width * image.height > _LARGE_PIXELS else nullcontext():
                    image.load()
    except SamDataError as error:
        return "absurd pixel count", str(error)
    # Pillow's plugins raise more than OSError on damaged files (ValueError, SyntaxError, struct.error, …).
    except Exception as error:
        return "unreadable image", f"{type(error).__name__}: {error}"
    return None


def _shows_its_end(file: BinaryIO, kind: str) -> bool:
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    whole = kind in _END_MARKS and _END_MARKS[kind] in file.read()
    if kind == "WEBP":  # its header says how long the file is
        file.seek(4)
        whole = int.from_bytes(file.read(4), "little") + 8 <= size
    file.seek(position)
    return whole
