"""Opening one picture of one sample."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, ImageOps

from lavis_sam.errors import SamDataError


def load_image(path: str | os.PathLike[str], sample_id: int | str) -> Image.Image:
    """Read a picture as RGB, turned the way its EXIF tag says.

    Args:
        path: The picture.
        sample_id: The sample that wants it, for the error message.

    Raises:
        SamDataError: The file is missing, damaged, cut off, or no picture.
    """
    try:
        with _whole_pictures_only(), Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    # Pillow's plugins raise more than OSError on damaged files (ValueError, SyntaxError, struct.error, …).
    except Exception as error:
        raise SamDataError(
            f"sample {sample_id!r}: {path} cannot be read as a picture ({type(error).__name__}: {error}). "
            "Replace the file or remove the sample from its annotation."
        ) from error


@contextmanager
def _whole_pictures_only() -> Iterator[None]:
    """LAVIS tells Pillow, for the whole process, to fill what a cut-off file lacks with grey; not for our pictures."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
