"""One image of one sample: whatever its file holds becomes upright RGB, or is refused by name."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from lavis_sam.errors import SamDataError

# A file of some kilobytes can unpack to gigabytes. This is where Pillow itself begins to warn: 0.27 GB as RGB.
MAX_PIXELS = 89_478_485
# Pillow guesses the format from the content, and some of the formats that it knows start other programs (EPS).
IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")

# What EXIF's orientation says of an image that needs no turning.
_UPRIGHT = 1


def load_image(path: str | os.PathLike[str], sample_id: int | str) -> Image.Image:
    """Read an image as RGB; see `to_rgb`.

    Args:
        path: The image.
        sample_id: The sample that wants it, for the error message.

    Raises:
        SamDataError: The file is missing, damaged, cut off, too large, or no image.
    """
    try:
        with open(path, "rb") as file:
            return _decoded(file)
    # Pillow's plugins raise more than OSError on damaged files (ValueError, SyntaxError, struct.error, …).
    except Exception as error:
        raise SamDataError(
            f"sample {sample_id!r}: {path} cannot be read as an image ({type(error).__name__}: {error}). "
            "Replace the file or remove the sample from its annotation."
        ) from error


def decode_image(data: bytes, place: str) -> Image.Image:
    """An image that is in memory already, as RGB; see `to_rgb`.

    Args:
        data: What an image file holds.
        place: Where it came from, for the error message.

    Raises:
        SamDataError: Damaged, cut off, too large, or no image.
    """
    try:
        return _decoded(io.BytesIO(data))
    except Exception as error:
        raise SamDataError(f"{place} cannot be read as an image ({type(error).__name__}: {error}).") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """What a person sees, as RGB.

    The first frame, turned the way the EXIF tag says; transparent pixels show white, as on paper (the colour stored
    under them means nothing); 16-bit greyscale keeps its upper 8 bits, where Pillow would clip at 255. Palette,
    greyscale, and CMYK convert as Pillow does.

    Args:
        image: Any mode.
    """
    image = _upright(image)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        paper = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(paper, colours).convert("RGB")
    if image.mode.startswith("I"):  # "I;16" in its byte orders, and "I"
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image without decoding it; what would need too much memory is refused here.

    Args:
        file: An image file of one of `IMAGE_FORMATS`.

    Raises:
        SamDataError: Its header claims more than `MAX_PIXELS`.
        Exception: Whatever Pillow's plugins raise on what is no image.
    """
    try:
        image = Image.open(file, formats=IMAGE_FORMATS)
    except Image.DecompressionBombError as error:  # Pillow's own limit, which is twice ours
        raise SamDataError(f"{error}; wanted at most {MAX_PIXELS} pixels") from error
    refuse_absurd_size(image.size)
    return image


def refuse_absurd_size(size: tuple[int, int]) -> None:
    """Refuse an image that would need too much memory, before it is decoded.

    Args:
        size: Width and height in pixels, as the file's header claims.

    Raises:
        SamDataError: More than `MAX_PIXELS`.
    """
    width, height = size
    if width * height > MAX_PIXELS:
        raise SamDataError(f"found {width} x {height} = {width * height} pixels, wanted at most {MAX_PIXELS}")


@contextmanager
def whole_images_only() -> Iterator[None]:
    """LAVIS tells Pillow, for the whole process, to fill what a cut-off file lacks with grey; not for our images."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _decoded(file: BinaryIO) -> Image.Image:
    with whole_images_only(), open_image(file) as image:
        image.load()
        return to_rgb(image)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT
        return ImageOps.exif_transpose(image) if turned else image  # it would copy an upright one, too
    # A damaged EXIF block is common, says nothing about the pixels, and raises whatever its parser stumbles over.
    except Exception:
        return image
