"""A camera that looks straight ahead: upright lines stay upright, and the horizon may lie anywhere in the picture.

It is the camera of `stages/composite.py`, so a thing rendered here stands right on that stage's ground.
"""

from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.backends.render.arrays import Array, floats
from lavis_sam.synthesis.backends.render.surfaces import turn_y


@dataclass(frozen=True)
class Camera:
    """Where things appear.

    Attributes:
        eye: Height above the ground in metres.
        distance: From the origin, along z.
        focal: Pixels.
        middle: Column that it looks at.
        horizon: Row of the horizon.
        turn: Degrees by which the world is turned before it is seen; its front goes to the right of the picture.
    """

    eye: float
    distance: float
    focal: float = 1.0
    middle: float = 0.0
    horizon: float = 0.0
    turn: float = 0.0

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Points [..., 3] -> columns, rows, depth in metres."""
        points = turn_y(points, self.turn) if self.turn else points
        depth = np.maximum(np.float32(self.distance) - points[..., 2], np.float32(0.05))
        column = self.middle + self.focal * points[..., 0] / depth
        row = self.horizon + self.focal * (self.eye - points[..., 1]) / depth
        return column.astype(np.float32), row.astype(np.float32), depth

    def to_eye(self, points: Array) -> Array:
        """Unit vectors [..., 3] from points to the camera."""
        way = turn_y(floats([0, self.eye, self.distance]), -self.turn) - points
        return way / np.linalg.norm(way, axis=-1, keepdims=True)


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
        """Looking from a light, given the unit vector towards it."""
        right = np.cross(floats([0, 1, 0]), light)
        right /= max(float(np.linalg.norm(right)), 1e-6)
        return cls(np.stack([right, np.cross(light, right), light]).astype(np.float32), scale)

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Points [..., 3] -> columns, rows, depth in metres (larger is further from the light)."""
        own = points @ self.axes.T
        column = self.origin[0] + own[..., 0] * self.scale
        row = self.origin[1] - own[..., 1] * self.scale
        return column.astype(np.float32), row.astype(np.float32), (100 - own[..., 2]).astype(np.float32)
