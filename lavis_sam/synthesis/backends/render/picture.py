"""Surfaces in, a cut-out picture out."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lavis_sam.synthesis.backends.render.arrays import Array
from lavis_sam.synthesis.backends.render.camera import Camera
from lavis_sam.synthesis.backends.render.paint import srgb
from lavis_sam.synthesis.backends.render.raster import bounds, rasterise
from lavis_sam.synthesis.backends.render.shading import Lighting, shade
from lavis_sam.synthesis.backends.render.surfaces import Surface
from lavis_sam.synthesis.backends.types import Polygon, Rgba

# Pixels of the working picture to one of the finished one.
_OVERSAMPLING = 2
# Blur of the working picture before it is reduced: together they make a soft edge of about one pixel.
_REDUCTION_BLUR = 0.7
_MARGIN = 4


@dataclass(frozen=True)
class Picture:
    """A finished picture and how to find places in it.

    Attributes:
        rgba: [H, W, 4], cropped to what is visible.
        camera: In pixels of `rgba`.
    """

    rgba: Rgba
    camera: Camera

    def outline(self, points: Array) -> Polygon:
        """Points [n, 3] in metres as (x, y) pixels."""
        column, row, _ = self.camera.project(np.asarray(points, np.float32))
        return tuple((float(x), float(y)) for x, y in zip(column, row, strict=True))


def render(
    surfaces: Sequence[Surface],
    *,
    eye: float,
    distance: float,
    height: int,
    width: int | None = None,
    turn: float = 0.0,
    light: Lighting | None = None,
) -> Picture:
    """Draw surfaces so that they fill a picture.

    Args:
        surfaces: In metres.
        eye: Height of the camera.
        distance: Of the camera from the origin.
        height: Pixels that the whole may be high.
        width: Pixels that it may be wide; None sets no limit.
        turn: Degrees by which the surfaces are turned first; their front goes to the right.
        light: The studio.
    """
    size = _OVERSAMPLING
    rough = Camera(eye, distance, turn=turn)
    left, top, right, bottom = bounds(surfaces, rough)
    focal = size * height / (bottom - top)
    if width is not None:
        focal = min(focal, size * width / (right - left))
    camera = Camera(eye, distance, focal, size * _MARGIN - left * focal, size * _MARGIN - top * focal, turn)
    columns = size * (int((right - left) * focal / size) + 2 * _MARGIN + 1)
    rows = size * (int((bottom - top) * focal / size) + 2 * _MARGIN + 1)
    frame = rasterise(surfaces, camera, columns, rows)
    colour = shade(frame, surfaces, camera, light or Lighting())
    rgba = _reduce(srgb(_tone(colour)), frame.owner >= 0, rows, columns)
    x, y, wide, high = cv2.boundingRect((rgba[..., 3] > 0).astype(np.uint8))
    own = Camera(eye, distance, focal / size, camera.middle / size - x, camera.horizon / size - y, turn)
    return Picture(np.ascontiguousarray(rgba[y : y + high, x : x + wide]), own)


def _tone(colour: Array) -> Array:
    """Bright parts bend towards white instead of being cut off."""
    knee = np.float32(0.75)
    over = np.maximum(colour - knee, 0)
    return np.minimum(colour, knee) + over / (1 + over / (1 - knee))


def _reduce(colour: Array, there: np.ndarray, rows: int, columns: int) -> Rgba:
    """The working picture at its final size, colours not multiplied by alpha."""
    alpha = there.astype(np.float32).reshape(rows, columns)
    layers = np.dstack([colour.reshape(rows, columns, 3) * alpha[..., None], alpha])
    layers = cv2.GaussianBlur(layers, (0, 0), _REDUCTION_BLUR)
    small = cv2.resize(layers, (columns // _OVERSAMPLING, rows // _OVERSAMPLING), interpolation=cv2.INTER_AREA)
    share = small[..., 3:]
    straight = np.divide(small[..., :3], share, out=np.zeros_like(small[..., :3]), where=share > 1e-3)
    return np.round(np.clip(np.dstack([straight, share]), 0, 1) * 255).astype(np.uint8)
