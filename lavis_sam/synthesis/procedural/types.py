"""What the embedded backends hand to each other.

Images are uint8 arrays of RGB, cut-outs of RGBA with colours not multiplied by alpha. Directions are in the camera's
frame: x to the right, y up, z towards the viewer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]  # [H, W, 3]
Rgba = npt.NDArray[np.uint8]  # [H, W, 4]
Direction = tuple[float, float, float]
Polygon = tuple[tuple[float, float], ...]  # (x, y) in pixels

SPLITS = ("train", "held_out", "all")


@dataclass(frozen=True)
class Cutout:
    """An object cut out exactly: its alpha channel is its mask.

    Attributes:
        rgba: [H, W, 4] the object, cropped to what is visible of it.
        attributes: What is true of it, in words: {"top colour": "blue"}.
        footprint: (x0, x1, y) where it touches the ground, in pixels of `rgba`: a line from x0 to x1 at y.
        metres: The real height of the whole cut-out, so that things in one scene have the right size beside each other.
        contacts: Outlines of the areas that touch the ground, in pixels of `rgba`; empty when only the line is known.
    """

    rgba: Rgba
    attributes: Mapping[str, str]
    footprint: tuple[float, float, float]
    metres: float = 1.7
    contacts: tuple[Polygon, ...] = ()


@dataclass(frozen=True)
class Background:
    """A perspective view of a place.

    Attributes:
        rgb: [S, S, 3] the view.
        horizon_row: Row of the horizon in pixels, from the top; may lie outside the image.
        light: Unit vector towards the main light.
        light_strength: 0 for an overcast sky or a room of soft light, 1 for a hard sun.
        name: The scene.
        words: What a description of the place says: ("forest", "trees").
        indoors: Whether there is a roof.
        focal: Pixels; what the field of view is for S.
    """

    rgb: Rgb
    horizon_row: float
    light: Direction
    light_strength: float
    name: str
    words: tuple[str, ...] = field(default_factory=tuple)
    indoors: bool = False
    focal: float = 400.0


@dataclass(frozen=True)
class PlacedLayer:
    """A subject on the canvas of an image.

    Attributes:
        rgba: [S, S, 4] the subject at its place, nothing else.
        footprint: (x0, x1, y) its contact line in canvas pixels; None lets the compositor find it.
        contacts: Its contact outlines in canvas pixels, see `Cutout.contacts`.
    """

    rgba: Rgba
    footprint: tuple[float, float, float] | None = None
    contacts: tuple[Polygon, ...] = ()
