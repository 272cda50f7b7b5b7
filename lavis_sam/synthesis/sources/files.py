"""Reading what strangers made: images, masks and tables of a source, all under its root."""

import csv
import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lavis_sam.datasets.images import open_image, to_rgb, to_rgba, upright, whole_images_only
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import read_json
from lavis_sam.synthesis.records import Alpha, Rgb

# Below this an object has no details.
SMALLEST_SIDE = 64
_OPAQUE = 255
_LONGEST_LINE, _LONGEST_FIELD = 4_000_000, 100_000
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def existing_folder(root: str | os.PathLike[str], key: str) -> Path:
    """Return a configured folder.

    Raises:
        SamConfigurationError: It does not exist.
    """
    path = Path(root).expanduser()
    if not path.is_dir():
        raise SamConfigurationError(f"{key}: found {str(root)!r}, wanted an existing folder.")
    return path


def existing_file(path: Path, what: str) -> Path:
    """Return a file that a source cannot do without.

    Raises:
        SamConfigurationError: It does not exist.
    """
    if not path.is_file():
        raise SamConfigurationError(f"{path}: missing; it is {what}.")
    return path


def inside(root: Path, relative: str) -> Path:
    """Return a path that a table of the source names.

    Raises:
        SamDataError: It leaves the root, by `..` or by a link.
    """
    try:
        path = Path(os.path.realpath(root / relative))
    except ValueError as error:
        raise SamDataError(f"{relative!r}: no file name ({error})") from error
    if os.path.isabs(relative) or not path.is_relative_to(os.path.realpath(root)):
        raise SamDataError(f"{relative!r}: leaves the source's folder {root}")
    return path


def read_image(root: Path, relative: str) -> Rgb:
    """Return a source image, upright, [H, W, 3].

    CMYK, grey, palette and 16-bit images are converted; transparent ones are laid on white.

    Raises:
        SamDataError: It is missing, damaged, cut off, animated, too small or too large.
    """
    return np.asarray(_open(root, relative, lambda image: to_rgb(image, "the image")))


def read_cutout(root: Path, relative: str, smallest: int = 16) -> tuple[Rgb, Alpha]:
    """Return an image with transparency: colours [H, W, 3] and alpha [H, W]; opaque where it has none.

    Raises:
        SamDataError: As `read_image`.
    """
    rgba = np.asarray(_open(root, relative, lambda image: to_rgba(image, "the image"), smallest))
    return rgba[..., :3].copy(), rgba[..., 3].astype(np.float32) / np.float32(255)


def read_mask(root: Path, relative: str, shape: tuple[int, ...]) -> Alpha:
    """Read a mask [H, W]: an image's alpha where it has transparent pixels, otherwise every label above 0.

    Args:
        shape: (H, W) that it has to have.

    Raises:
        SamDataError: It cannot be read, or has another size.
    """
    image = _open(root, relative, upright, smallest=1)
    # A palette image's indices are its labels, which converting would look up as colours; other numbers it would clip.
    is_labels = image.mode in ("P", "L", "I", "F", "1") or image.mode.startswith("I;16")
    labels = np.asarray(image if is_labels else image.convert("L"))
    if labels.shape != tuple(shape[:2]):
        raise SamDataError(f"{relative}: mask of {labels.shape} for an image of {tuple(shape[:2])}")
    alpha = np.asarray(image.getchannel("A")) if "A" in image.getbands() else None
    if alpha is not None and alpha.min() < _OPAQUE:
        return alpha.astype(np.float32) / np.float32(_OPAQUE)
    return (labels > 0).astype(np.float32)


def read_table(path: Path) -> Any:
    """Read a source's JSON table.

    Raises:
        SamConfigurationError: It cannot be read; a source is useless without its table.
    """
    return read_json(path, remedy="The source needs its table.", error=SamConfigurationError)


def rows_of(path: Path, encoding: str = "utf-8-sig") -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table of comma-separated values, each with the number of its last line.

    Raises:
        SamConfigurationError: As `lines_of`, or a field is absurdly long, as after a quote that nothing closes.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(f"{line}\n" for line in lines_of(path, encoding))
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise SamConfigurationError(
            f"{path}:{rows.line_num}: cannot be read as a table ({error}). Get the file again, or mend the row."
        ) from error


def lines_of(path: Path, encoding: str = "utf-8-sig") -> Iterator[str]:
    """Yield the lines of a text, gzipped where its name ends in .gz.

    Raises:
        SamConfigurationError: It cannot be read to its end, or a line is absurdly long.
    """
    number = 1
    try:
        with gzip.open(path, "rt", encoding=encoding) if path.suffix == ".gz" else path.open(encoding=encoding) as file:
            while line := file.readline(_LONGEST_LINE):
                if len(line) == _LONGEST_LINE:
                    raise SamConfigurationError(
                        f"{path}:{number}: a line of over {_LONGEST_LINE} characters; is this a table?"
                    )
                yield line.rstrip("\r\n")
                number += 1
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise SamConfigurationError(f"{path}:{number}: cannot be read ({error}). Get the file again.") from error


def _open(
    root: Path, relative: str, decode: Callable[[Image.Image], Image.Image], smallest: int = SMALLEST_SIDE
) -> Image.Image:
    path = inside(root, relative)
    try:
        with whole_images_only(), path.open("rb") as file, open_image(file) as image:
            _check_form(image, smallest)
            image.load()
            return decode(image)
    except SamDataError as error:
        raise SamDataError(f"{relative}: {error}") from error
    # Pillow's plugins raise more than OSError on damaged files (ValueError, SyntaxError, struct.error, …).
    except Exception as error:
        message = f"{relative}: cannot be read as an image ({type(error).__name__}: {error})"
        raise SamDataError(message.replace(str(path), path.name)) from error


def _check_form(image: Image.Image, smallest: int) -> None:
    width, height = image.size
    if min(width, height) < smallest:
        raise SamDataError(f"{width}x{height} pixels, wanted at least {smallest} a side")
    frames = getattr(image, "n_frames", 1)
    # Cameras store a preview as a second frame of a JPEG (MPO); that is no animation.
    if frames > 1 and image.format != "MPO":
        raise SamDataError(f"animated ({frames} frames), wanted one image")
