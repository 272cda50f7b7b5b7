"""Surfaces in, a cut-out image out."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import Array
from lavis_sam.synthesis.procedural.render.camera import Camera
from lavis_sam.synthesis.procedural.render.mesh import mesh_of
from lavis_sam.synthesis.procedural.render.paint import srgb
from lavis_sam.synthesis.procedural.render.raster import Frame, bounds, rasterise
from lavis_sam.synthesis.procedural.render.shading import Lighting, shade
from lavis_sam.synthesis.procedural.render.surfaces import Surface
from lavis_sam.synthesis.records import Polygon, Rgba

# Pixels of the working image to one of the finished one.
_OVERSAMPLING = 2
# Blur of the working image before it is reduced: together they make a soft edge of about one pixel.
_REDUCTION_BLUR = 0.7
_MARGIN = 4
# Above the knee, light bends towards white.
_KNEE = np.float32(0.75)
# The table of developed light: its steps, and the light at its end.
_LIGHT_STEPS, _BRIGHTEST = 1 << 16, 4.0


@dataclass(frozen=True)
class Cutout:
    """An object cut out exactly: its alpha channel is its mask.

    Attributes:
        rgba: [H, W, 4] the object, cropped to what is visible of it.
        metres: The real height of the cut-out; objects in one scene then have the right size beside each other.
        contacts: Outlines of the areas that touch the ground, in pixels of `rgba`.
    """

    rgba: Rgba
    metres: float
    contacts: tuple[Polygon, ...]


@dataclass(frozen=True)
class RenderedImage:
    """A finished image and how to find places in it.

    Attributes:
        rgba: [H, W, 4], cropped to what is visible.
        camera: In pixels of `rgba`.
    """

    rgba: Rgba
    camera: Camera

    def outline(self, points: Array) -> Polygon:
        """Return points [n, 3] in metres as (x, y) pixels."""
        column, row, _ = self.camera.project(np.asarray(points, np.float32))
        return tuple((float(x), float(y)) for x, y in zip(column, row, strict=True))

    def cutout(self, contacts: Sequence[Polygon]) -> Cutout:
        """Return the image with what is known of its size and of the ground."""
        return Cutout(self.rgba, float(self.rgba.shape[0] / self.camera.focal * self.camera.distance), tuple(contacts))


def render(
    surfaces: Sequence[Surface],
    *,
    eye: float,
    distance: float,
    height: int,
    width: int | None = None,
    turn: float = 0.0,
    light: Lighting | None = None,
) -> RenderedImage:
    """Draw surfaces so that they fill an image.

    Args:
        surfaces: In metres.
        height: Pixels that the whole may be high.
        width: Pixels that it may be wide; None sets no limit.
        turn: Degrees by which the surfaces are turned first; their front goes to the right.
    """
    size = _OVERSAMPLING
    coarse = np.stack([surface.coarse for surface in surfaces])
    left, top, right, bottom = bounds(coarse, Camera(eye, distance, turn=turn))
    focal = size * height / (bottom - top)
    if width is not None:
        focal = min(focal, size * width / (right - left))
    camera = Camera(eye, distance, focal, size * _MARGIN - left * focal, size * _MARGIN - top * focal, turn)
    columns = size * (int((right - left) * focal / size) + 2 * _MARGIN + 1)
    rows = size * (int((bottom - top) * focal / size) + 2 * _MARGIN + 1)
    mesh = mesh_of(surfaces, *camera.project(coarse)[:2])
    frame = rasterise(mesh, camera, columns, rows)
    rgba = _reduce(frame, _developed(shade(frame, mesh, camera, light or Lighting())))
    x, y, wide, high = cv2.boundingRect((rgba[..., 3] > 0).astype(np.uint8))
    own = Camera(eye, distance, focal / size, camera.middle / size - x, camera.horizon / size - y, turn)
    return RenderedImage(np.ascontiguousarray(rgba[y : y + high, x : x + wide]), own)


def _developed(light: Array) -> Array:
    """Turn linear light into sRGB in [0, 1], like `srgb`, but bright parts bend towards white and are not cut off."""
    steps = np.minimum(light * np.float32(_LIGHT_STEPS / _BRIGHTEST), _LIGHT_STEPS - 1).astype(np.uint16)
    return _development()[steps]


@functools.cache
def _development() -> Array:
    light = (np.arange(_LIGHT_STEPS, dtype=np.float32) + np.float32(0.5)) * np.float32(_BRIGHTEST / _LIGHT_STEPS)
    over = np.maximum(light - _KNEE, 0)
    return srgb(np.minimum(light, _KNEE) + over / (1 + over / (1 - _KNEE)))


def _reduce(frame: Frame, colour: Array) -> Rgba:
    """Return the working image at its final size, colours [3, n] not multiplied by alpha."""
    layers = np.zeros((4, frame.height * frame.width), np.float32)
    for layer, values in zip(layers, (*colour, 1), strict=True):
        layer[frame.pixels] = values
    size = (frame.width // _OVERSAMPLING, frame.height // _OVERSAMPLING)
    small = np.empty((4, size[1], size[0]), np.float32)
    for layer, reduced in zip(layers.reshape(4, frame.height, frame.width), small, strict=True):
        blurred = cv2.GaussianBlur(layer, (0, 0), _REDUCTION_BLUR)
        cv2.resize(blurred, size, dst=reduced, interpolation=cv2.INTER_AREA)
    small[:3] /= np.maximum(small[3], np.float32(1e-3))
    small *= 255
    return np.dstack([np.rint(np.clip(layer, 0, 255)).astype(np.uint8) for layer in small])
