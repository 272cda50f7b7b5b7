"""Whatever a caller has as an image, as the tensor that InstructBLIP was trained to see.

The same numbers as LAVIS's `blip_image_eval`, which evaluation uses; written out because importing LAVIS takes longer
than loading the tiny model.
"""

import os
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from lavis_sam.datasets.images import load_image, refuse_absurd_size
from lavis_sam.errors import SamDataError

# CLIP's, with which every InstructBLIP sees.
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


def is_image(value: Any) -> bool:
    """Whether a value is meant as one image: a path, a PIL image or an array, not a list of them."""
    return isinstance(value, (str, os.PathLike, Image.Image, np.ndarray, torch.Tensor))


def read_image(value: Any, sample: int | str, place: int) -> Image.Image:
    """One image as RGB.

    Args:
        value: A path; a PIL image; an array or tensor [H, W], [H, W, 1|3|4] or [1|3|4, H, W] of bytes, or of floats
            from 0 to 1.
        sample: The sample it belongs to, for error messages.
        place: Its number in the sample, from 1.

    Raises:
        SamDataError: It is none of these, damaged, or too large.
    """
    name = f"sample {sample!r}, image {place}"
    if isinstance(value, (str, os.PathLike)):
        return load_image(value, sample)
    try:
        if isinstance(value, Image.Image):
            refuse_absurd_size(value.size)
            return ImageOps.exif_transpose(value).convert("RGB")
        if isinstance(value, (np.ndarray, torch.Tensor)):
            return _from_array(np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value))
    except (OSError, ValueError, SyntaxError) as error:
        raise SamDataError(f"{name}: {error}. Give a path, a PIL image or an array of an image.") from error
    raise SamDataError(
        f"{name} is a {type(value).__name__} ({str(value)[:60]}). Give a path, a PIL image or an array of an image."
    )


def _from_array(array: np.ndarray) -> Image.Image:
    wanted = "wanted [H, W], [H, W, 1|3|4] or [1|3|4, H, W] of bytes (uint8), or of floats from 0 to 1"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not shaped or 0 in array.shape:
        raise SamDataError(f"found an array {array.shape}, {wanted}")
    refuse_absurd_size((array.shape[1], array.shape[0]))
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise SamDataError(f"found floats from {array.min():.4g} to {array.max():.4g}, {wanted}")
        array = (array * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise SamDataError(f"found numbers of type {array.dtype}, {wanted}")
    return Image.fromarray(array.squeeze(2) if array.ndim == 3 and array.shape[2] == 1 else array).convert("RGB")


def image_tensor(image: Image.Image, size: int) -> torch.Tensor:
    """What the vision encoder sees of an image: [3, size, size], normalised by CLIP's mean and standard deviation.

    Args:
        image: RGB.
        size: Pixels of a side; the aspect is not kept, as in the training of InstructBLIP.
    """
    resized = image.resize((size, size), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
    return (pixels - MEAN) / STD
