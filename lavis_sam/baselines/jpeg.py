"""An image as JPEG within bounds of size and bytes: what is sent is paid for, and services refuse large requests."""

import io
from dataclasses import dataclass

from PIL import Image

from lavis_sam.errors import SamConfigurationError

QUALITIES = (90, 80, 70, 60, 50)
_SHRINK = 0.75
_SMALLEST_SIDE = 32


@dataclass(frozen=True)
class ImageBounds:
    """The most that an image may have.

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
                f"images: found at most {self.side} pixels and {self.bytes} bytes, wanted at least {_SMALLEST_SIDE} "
                "and 1000."
            )


def jpeg_within(image: Image.Image, bounds: ImageBounds) -> bytes:
    """Return the best JPEG within the bounds.

    Raises:
        SamConfigurationError: Even the smallest one has too many bytes.
    """
    side = min(bounds.side, max(image.size))
    while side >= min(_SMALLEST_SIDE, max(image.size)):
        smaller = _scaled(image, side)
        for quality in QUALITIES:
            data = _encoded(smaller, quality)
            if len(data) <= bounds.bytes:
                return data
        side = int(side * _SHRINK)
    raise SamConfigurationError(
        f"an image of {image.size[0]} x {image.size[1]} pixels does not go into {bounds.bytes} bytes; allow more."
    )


def _scaled(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    if factor >= 1:
        return image
    width, height = (max(1, round(length * factor)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _encoded(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
