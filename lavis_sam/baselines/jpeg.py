"""A picture as JPEG within bounds of size and bytes: what is sent is paid for, and services refuse large requests."""

import io
from dataclasses import dataclass

from PIL import Image

from lavis_sam.errors import SamConfigurationError

QUALITIES = (90, 80, 70, 60, 50)
_SHRINK = 0.75
_SMALLEST_SIDE = 32


@dataclass(frozen=True)
class PictureBounds:
    """The most that a picture may have.

    Attributes:
        side: Pixels of its longer side; larger ones are scaled down, smaller ones stay as they are.
        bytes: Of the JPEG; coarser compression is tried first, then smaller sizes.

    Raises:
        SamConfigurationError: Bounds in which nothing could be seen.
    """

    side: int = 768
    bytes: int = 400_000

    def __post_init__(self) -> None:
        if self.side < _SMALLEST_SIDE or self.bytes < 1000:
            raise SamConfigurationError(
                f"pictures: found at most {self.side} pixels and {self.bytes} bytes, wanted at least {_SMALLEST_SIDE} "
                "and 1000."
            )


def jpeg_within(picture: Image.Image, bounds: PictureBounds) -> bytes:
    """The best JPEG within the bounds.

    Args:
        picture: RGB.
        bounds: Of what is returned.

    Raises:
        SamConfigurationError: Even the smallest one has too many bytes.
    """
    side = min(bounds.side, max(picture.size))
    while side >= min(_SMALLEST_SIDE, max(picture.size)):
        smaller = _scaled(picture, side)
        for quality in QUALITIES:
            data = _encoded(smaller, quality)
            if len(data) <= bounds.bytes:
                return data
        side = int(side * _SHRINK)
    raise SamConfigurationError(
        f"a picture of {picture.size[0]} x {picture.size[1]} pixels does not go into {bounds.bytes} bytes; allow more."
    )


def _scaled(picture: Image.Image, side: int) -> Image.Image:
    factor = side / max(picture.size)
    if factor >= 1:
        return picture
    width, height = (max(1, round(length * factor)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _encoded(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
