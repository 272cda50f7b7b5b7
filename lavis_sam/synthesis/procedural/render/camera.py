"""A camera that looks straight ahead: upright lines stay upright, and the horizon may lie anywhere in the image.

It is the camera of `stages/composite.py`, so an object rendered here stands right on that stage's ground.
"""

from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.surfaces import turn_y

# Metres from the world's origin to a light: any number that keeps depths positive.
_FAR = np.float32(100)


@dataclass(frozen=True)
class Camera:
    """Where objects appear.

    Attributes:
        eye: Height above the ground in metres.
        focal: Pixels.
        horizon: Row of the horizon.
        turn: Degrees by which the world is turned before it is seen; its front goes to the right of the image.
    """

    eye: float
    distance: float
    focal: float = 1.0
    middle: float = 0.0
    horizon: float = 0.0
    turn: float = 0.0

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Project points [..., 3] to columns, rows, depth in metres."""
        right, up, ahead = turn_y(np.eye(3, dtype=np.float32), -self.turn)
        depth = np.maximum(np.float32(self.distance) - points @ ahead, np.float32(0.05))
        scale = np.float32(self.focal) / depth
        column = points @ right * scale + np.float32(self.middle)
        row = (np.float32(self.eye) - points @ up) * scale + np.float32(self.horizon)
        return column, row, depth

    @property
    def place(self) -> Array:
        """[3] where the camera is among the surfaces as they are before they are turned."""
        return turn_y(floats([0, self.eye, self.distance]), -self.turn)


@dataclass(frozen=True)
class LightCamera:
    """The view of a far light, for shadows.

    Attributes:
        axes: Rows: right, up and towards the light.
        scale: Pixels a metre.
        origin: (column, row) of the world's origin.
    """

    axes: Array
    scale: float
    origin: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def towards(cls, light: Array, scale: float) -> "LightCamera":
        """Return the camera that looks from a light, given the unit vector towards it."""
        right = np.cross(floats([0, 1, 0]), light)
        right /= max(float(np.linalg.norm(right)), 1e-6)
        return cls(np.stack([right, np.cross(light, right), light]).astype(np.float32), scale)

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Project points [..., 3] to columns, rows, depth in metres (larger is further from the light)."""
        right, up, towards = self.axes
        column = points @ (right * np.float32(self.scale)) + np.float32(self.origin[0])
        row = np.float32(self.origin[1]) - points @ (up * np.float32(self.scale))
        return column, row, _FAR - points @ towards
