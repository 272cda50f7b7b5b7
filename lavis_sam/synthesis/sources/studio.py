"""A photographer's studio: puts a drawn object before a plain backdrop, as a source image with an exact mask.

So drawn objects go the way of photographs: they are segmented, and the segmenter is measured against the truth.
"""

import cv2
import numpy as np

from lavis_sam.synthesis.procedural.render.image import Cutout
from lavis_sam.synthesis.records import View

# Room around the object, as a share of its longer side.
_ROOM = (0.08, 0.22)
# Backdrops of studios: light greys, warm and cool whites.
_BRIGHTNESS, _TINT, _FALL = (196, 244), 7.0, 22.0
_NOISE = 1.6
_SHADOW = 0.28


def photograph(
    cutout: Cutout, rng: np.random.Generator, description: str, reference: str, attributes: dict[str, str]
) -> View:
    """Return a view of a drawn object: [H, W, 3] with its exact mask, and room around it."""
    height, width = cutout.rgba.shape[:2]
    left, top, right, bottom = (round(max(height, width) * share) for share in rng.uniform(*_ROOM, 4))
    size = (top + height + bottom, left + width + right)
    alpha = np.zeros(size, np.float32)
    inside = (slice(top, top + height), slice(left, left + width))
    alpha[inside] = cutout.rgba[..., 3] / np.float32(255)
    contacts = tuple(tuple((x + left, y + top) for x, y in outline) for outline in cutout.contacts)
    planes = _backdrop(size, rng)
    bright = 1 - np.float32(_SHADOW) * _contact_shadow(size, contacts)
    noise = rng.normal(0, _NOISE, size).astype(np.float32)
    for plane, colour in zip(planes, cv2.split(cutout.rgba), strict=False):
        plane *= bright
        plane[inside] += (colour - plane[inside]) * alpha[inside]
        plane += noise
    image = cv2.merge([np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in planes])
    return View(image, alpha, description, reference, attributes, contacts, cutout.metres)


def _backdrop(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return [3, H, W]: one tint, a little darker towards one side."""
    tint = rng.uniform(*_BRIGHTNESS) + rng.uniform(-_TINT, _TINT, 3)
    down, across = (np.linspace(-1, 1, length) for length in size)
    angle = rng.uniform(0, 2 * np.pi)
    strength = rng.uniform(0, _FALL / 2)
    fall = np.add.outer(np.sin(angle) * down, np.cos(angle) * across) * strength
    return np.clip(tint.astype(np.float32)[:, None, None] - fall.astype(np.float32), 0, 255)


def _contact_shadow(size: tuple[int, int], contacts: tuple[tuple[tuple[float, float], ...], ...]) -> np.ndarray:
    """Return [H, W] softly 1 where the object stands."""
    shadow = np.zeros(size, np.float32)
    for outline in contacts:
        cv2.fillPoly(shadow, [np.round(outline).astype(np.int32)], 1.0)
    spread = max(1.0, max(size) * 0.012)
    return cv2.GaussianBlur(shadow, (0, 0), spread)
