"""A photographer's studio: puts a drawn object before a plain backdrop, as a source picture with an exact mask.

So drawn objects go the way of photographs: they are segmented, and the segmenter is measured against the truth.
"""

import cv2
import numpy as np

from lavis_sam.synthesis.backends.types import Cutout
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
    """A view of a drawn object.

    Args:
        cutout: The object.
        rng: Decides the backdrop and the framing.
        description: What the manifest says of the view.
        reference: The recipe that draws it again.
        attributes: What is true of this view alone.
    """
    height, width = cutout.rgba.shape[:2]
    left, top, right, bottom = (round(max(height, width) * share) for share in rng.uniform(*_ROOM, 4))
    size = (top + height + bottom, left + width + right)
    alpha = np.zeros(size, np.float32)
    alpha[top : top + height, left : left + width] = cutout.rgba[..., 3] / np.float32(255)
    colour = np.zeros((*size, 3), np.float32)
    colour[top : top + height, left : left + width] = cutout.rgba[..., :3]
    contacts = tuple(tuple((x + left, y + top) for x, y in outline) for outline in cutout.contacts)
    backdrop = _backdrop(size, rng) * (1 - _SHADOW * _contact_shadow(size, contacts))[..., None]
    picture = colour * alpha[..., None] + backdrop * (1 - alpha[..., None])
    picture += rng.normal(0, _NOISE, size).astype(np.float32)[..., None]
    return View(
        np.clip(np.rint(picture), 0, 255).astype(np.uint8),
        alpha,
        description,
        reference,
        attributes,
        contacts,
        cutout.metres,
    )


def _backdrop(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """[H, W, 3]: one tint, a little darker towards one side."""
    tint = rng.uniform(*_BRIGHTNESS) + rng.uniform(-_TINT, _TINT, 3)
    across, down = np.meshgrid(np.linspace(-1, 1, size[1]), np.linspace(-1, 1, size[0]))
    angle = rng.uniform(0, 2 * np.pi)
    fall = (np.cos(angle) * across + np.sin(angle) * down) * rng.uniform(0, _FALL / 2)
    return np.clip(tint - fall[..., None], 0, 255).astype(np.float32)


def _contact_shadow(size: tuple[int, int], contacts: tuple[tuple[tuple[float, float], ...], ...]) -> np.ndarray:
    """[H, W] softly 1 where the object stands."""
    shadow = np.zeros(size, np.float32)
    for outline in contacts:
        cv2.fillPoly(shadow, [np.round(outline).astype(np.int32)], 1.0)
    spread = max(1.0, max(size) * 0.012)
    return cv2.GaussianBlur(shadow, (0, 0), spread)
