"""U2-Netp: what is salient in an image (Qin et al. 2020), on onnxruntime; see assets/synthesis/NOTICE.md.

4.6 MB, about 0.1 s an image on one thread. Good at one object before a plain backdrop, which is what source images
are. The network sees the image small; a guided filter (He et al., Guided Image Filtering, 2010) then fits its soft
outline to the image's own edges. That is as exact as the network alone at its authors' 320 pixels, in less than half
the time.
"""

import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.render.arrays import floats
from lavis_sam.synthesis.records import Rgb

MODEL = Path(__file__).parents[2] / "assets" / "synthesis" / "models" / "u2netp.onnx"
# What the network sees: side in pixels. Its six levels each halve the image, so it needs a few pixels to halve.
SIDE, LEAST_SIDE = 224, 64
_MEAN, _SPREAD = floats([0.485, 0.456, 0.406]), floats([0.229, 0.224, 0.225])
# Differences of brightness below the square root of this (in [0, 1]) are noise, not edges.
_NOISE = 1e-4


def segment(rgb: Rgb, threads: int = 1, side: int = SIDE) -> npt.NDArray[np.float32]:
    """Return saliency in [0, 1] of every pixel.

    Args:
        rgb: [H, W, 3].
        side: What the network sees is so many pixels high and wide, at least `LEAST_SIDE`; its time grows with the
            square.

    Returns:
        [H, W]; the network's answer is scaled so that it reaches from 0 to 1.

    Raises:
        SamConfigurationError: onnxruntime is not installed, or the array is no image.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or min(rgb.shape[:2]) < 1:
        raise SamConfigurationError(f"segment: found {rgb.dtype} {rgb.shape}, wanted uint8 [H, W, 3].")
    small = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    normal = (small / max(float(small.max()), 1e-6) - _MEAN) / _SPREAD
    session = _session(threads)
    name = session.get_inputs()[0].name
    found = session.run(None, {name: normal.transpose(2, 0, 1)[None].astype(np.float32)})[0][0, 0]
    low, high = float(found.min()), float(found.max())
    scaled = ((found - low) / max(high - low, 1e-6)).astype(np.float32)
    height, width = rgb.shape[:2]
    whole = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_CUBIC)
    return _guided(whole, rgb, radius=max(1, round(max(height, width) / side)))


def _guided(soft: npt.NDArray[np.float32], rgb: Rgb, radius: int) -> npt.NDArray[np.float32]:
    """Return the soft mask [H, W] as, around every pixel, the line through the image's brightness that fits it best."""
    bright = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
    window = (2 * radius + 1, 2 * radius + 1)
    mean, mean_soft = cv2.blur(bright, window), cv2.blur(soft, window)
    together = cv2.blur(bright * soft, window) - mean * mean_soft
    slope = together / (cv2.blur(bright * bright, window) - mean * mean + np.float32(_NOISE))
    start = mean_soft - slope * mean
    return np.clip(cv2.blur(slope, window) * bright + cv2.blur(start, window), 0, 1).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _session(threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SamConfigurationError(
            "stages.segment: the backend u2netp needs onnxruntime, which is not installed. Install it with "
            "`pip install lavis_sam[synthesis]`, or choose `exact` to use the sources' own masks."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
