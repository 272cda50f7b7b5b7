"""One image, whatever a caller has it as: upright RGB, or refused by name; and the tensor that a model sees of it.

The same image gives the same pixels as a path, as the bytes of a file, as a PIL image, as an array and as a tensor.
What an array cannot say (that its channels are CMYK, say) its caller has to: three channels are RGB, four are RGBA.

- Transparent pixels show white, as on paper; the colour stored under them means nothing.
- 16-bit greys (`I;16`, uint16) keep their shades: 257 of them are one of 255.
- Where mode and type leave the range open, the largest value decides, as transformers' image processors do for
  floats: integers (`I`, int32, …) up to 255 are 8-bit and up to 65535 16-bit; floats (`F`, float16, …) up to 1 are
  parts of white, and up to 255 are 8-bit. Anything beyond is refused, not clipped.
- Lab is converted by its colour profile; all other modes as Pillow does.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from lavis_sam.errors import SamDataError

if TYPE_CHECKING:
    from torch import Tensor

# A file of some kilobytes can unpack to gigabytes. 8192 x 8192 is more than a 35 mm camera's image has; measured, it
# takes 0.5 to 1 GB and up to 2 s to decode. Pillow begins to warn at 89 megapixels and refuses twice as many.
MAX_PIXELS = 2**26
# Pillow guesses the format from the content, and some of the formats that it knows start other programs (EPS).
IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
_KNOWN = f"{', '.join(IMAGE_FORMATS[:-1])} and {IMAGE_FORMATS[-1]}, or damaged"
# Of each channel, for values from 0 to 1: CLIP's, with which every InstructBLIP sees.
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)

# How many rows are laid on white at once: whole large images would be in memory four times.
_ROWS = 256
# How far floats may leave their range: half precision rounds, and so does resizing.
_FLOAT_TOLERANCE = 0.01
_SHADES_OF_16_BITS = 257
_UPRIGHT = 1
# EXIF's other orientations -> what turns the image upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WANTED_IMAGE = "Give a path, the bytes of a file, a PIL image or an array of an image."
_WANTED_ARRAY = (
    "wanted [H, W], [H, W, 1|2|3|4] or [1|3|4, H, W] of bytes (uint8), of integers to 65535, or of floats from 0 to 1 "
    "or to 255"
)


def to_rgb(value: Any, name: str) -> Image.Image:
    """Return what a person sees of an image, as RGB: its first frame, turned the way its EXIF block says.

    Args:
        value: A path; the bytes of a file; a PIL image of any mode; an array or tensor [H, W], [H, W, 1|2|3|4] or
            [1|3|4, H, W] of bytes, other integers, booleans or floats.
        name: What an error calls the image.

    Raises:
        SamDataError: It is none of these, missing, damaged, cut off, too large, or out of range.
    """
    image = _read(value, name)
    if image.mode == "RGB":
        return image
    flat = Image.new("RGB", image.size)
    for top in range(0, image.height, _ROWS):
        rows = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
        flat.paste(Image.alpha_composite(Image.new("RGBA", rows.size, "white"), rows).convert("RGB"), (0, top))
    return flat


def to_rgba(value: Any, name: str) -> Image.Image:
    """Return an image with its transparency; opaque where it has none. See `to_rgb`."""
    return _read(value, name).convert("RGBA")


def is_image(value: Any) -> bool:
    """Return whether a value is meant as one image, and not as a list of them."""
    return isinstance(value, str | os.PathLike | bytes | Image.Image | np.ndarray) or _is_tensor(value)


def image_tensor(image: Image.Image, size: int) -> "Tensor":
    """Return what the vision encoder sees of an image in evaluation: float [3, size, size], normalised.

    The same numbers as LAVIS's `blip_image_eval`; written out because importing LAVIS takes longer than loading the
    tiny model.

    Args:
        image: RGB.
        size: Pixels of a side; bicubic, and the aspect is not kept, as in the training of InstructBLIP.
    """
    import torch  # not needed to read images, and slow to import

    resized = image.resize((size, size), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(IMAGE_MEAN)[:, None, None]) / torch.tensor(IMAGE_STD)[:, None, None]


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image without decoding it; what would need too much memory is refused here.

    Args:
        file: An image file of one of `IMAGE_FORMATS`; it stays open until the image is decoded.

    Raises:
        SamDataError: Its header claims more than `MAX_PIXELS`.
        Exception: Whatever Pillow's plugins raise on what is no image.
    """
    try:
        with whole_images_only():
            image = Image.open(_BoundedReads(file), formats=IMAGE_FORMATS)
    except UnidentifiedImageError as error:  # Pillow's message names an object in memory
        raise UnidentifiedImageError(f"cannot identify image file: its start is none of {_KNOWN}") from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, which is twice ours
        raise SamDataError(f"{error}; wanted at most {MAX_PIXELS} pixels") from error
    refuse_absurd_size(image.size)
    return image


def is_image_start(start: bytes) -> bool:
    """Return whether a file with these first 16 bytes, or more, may be an image of one of `IMAGE_FORMATS`."""
    Image.init()
    # What `Image.open` asks the format's plugin; a text in place of True says what is not installed.
    accepts = (Image.OPEN[name][1] for name in IMAGE_FORMATS)
    return any(accept is not None and accept(start) is True for accept in accepts)


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


def upright(image: Image.Image) -> Image.Image:
    """Turn an image the way its EXIF block says; a damaged block says nothing."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT))
    # Its parser raises whatever it stumbles over, and the pixels are whole all the same.
    except Exception:
        return image
    return image if turn is None else image.transpose(turn)


@contextmanager
def whole_images_only() -> Iterator[None]:
    """Refuse files that are cut off or damaged: LAVIS tells Pillow, for the whole process, to fill in grey."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


class _BoundedReads:
    """A file of which no more is asked than is left: memory for it is taken first, and a damaged length says 2 GB."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if size is None or size < 0 else min(size, left))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _read(value: Any, name: str) -> Image.Image:
    """Read any value that `to_rgb` takes as an upright image of mode RGB, or RGBA where it may be transparent."""
    if not is_image(value):
        raise SamDataError(f"{name} is a {type(value).__name__} ({str(value)[:60]}). {_WANTED_IMAGE}")
    is_path = isinstance(value, str | os.PathLike)
    place = f"{name}: {value}" if is_path else name
    remedy = "Replace the file or leave the image out." if is_path else _WANTED_IMAGE
    try:
        if isinstance(value, Image.Image):
            return _coloured(value)
        if not is_path and not isinstance(value, bytes):
            return _coloured(_from_array(value))
        with open(value, "rb") if is_path else io.BytesIO(value) as file, open_image(file) as image:
            return _coloured(image)
    except SamDataError as error:
        raise SamDataError(f"{place}: {error}. {remedy}") from error
    # Pillow's plugins raise more than OSError on damaged files (ValueError, SyntaxError, struct.error, …).
    except Exception as error:
        raise SamDataError(f"{place} cannot be read as an image ({type(error).__name__}: {error}). {remedy}") from error


def _coloured(image: Image.Image) -> Image.Image:
    refuse_absurd_size(image.size)
    with whole_images_only():
        image.load()
    image = upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _from_numbers(image)
    elif image.mode == "La":
        image = image.convert("LA")  # Pillow has no other way out of premultiplied grey
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _from_numbers(image: Image.Image) -> Image.Image:
    """Turn 16-bit, 32-bit or float greys into mode L, or LA where a PNG names a shade that is transparent."""
    numbers = np.asarray(image)
    grey = Image.fromarray(_to_bytes(numbers))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray((numbers != transparent).view(np.uint8) * np.uint8(255)))
    return grey


def _from_array(value: Any) -> Image.Image:
    if _is_tensor(value):
        value = value.detach().cpu()
        # NumPy has no bfloat16.
        array = np.asarray(value.float() if value.is_floating_point() and value.itemsize < 4 else value)
    else:
        array = value
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 2, 3, 4):
        array = array.transpose(1, 2, 0)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4))) or 0 in array.shape:
        raise SamDataError(f"found an array {array.shape}, {_WANTED_ARRAY}")
    refuse_absurd_size((array.shape[1], array.shape[0]))
    array = np.ascontiguousarray(_to_bytes(array))
    return Image.fromarray(array.squeeze(2) if array.ndim == 3 and array.shape[2] == 1 else array)


def _to_bytes(array: np.ndarray) -> np.ndarray:
    """Turn numbers of any type into shades from 0 to 255; the module's docstring says which range is which."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = array.min(), array.max()
    if np.issubdtype(array.dtype, np.integer):
        if low < 0 or high > 65535:
            raise SamDataError(f"found integers from {low} to {high}, {_WANTED_ARRAY}")
        if (array.dtype.kind == "u" and array.dtype.itemsize == 2) or high > 255:
            array = (array.astype(np.uint32) + _SHADES_OF_16_BITS // 2) // _SHADES_OF_16_BITS
        return array.astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise SamDataError(f"found numbers of type {array.dtype}, {_WANTED_ARRAY}")
    if not (np.isfinite(array).all() and low >= -_FLOAT_TOLERANCE and high <= 255 + _FLOAT_TOLERANCE):
        raise SamDataError(f"found floats from {low:.4g} to {high:.4g}, {_WANTED_ARRAY}")
    if array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    return (array * (255 if high <= 1 + _FLOAT_TOLERANCE else 1)).round().clip(0, 255).astype(np.uint8)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    return torch is not None and isinstance(value, torch.Tensor)
