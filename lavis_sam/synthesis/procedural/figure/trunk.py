"""The body between neck and thighs, and everything that follows its form."""

import numpy as np

from lavis_sam.synthesis.procedural.figure.skeleton import Skeleton
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.surfaces import Changed, Loft, Shape

# Share of the way from the hip joints (0) to the collar (1); sizes are mixed from hips, waist, chest and neck.
_NECK = (0.058, 0.056)


class Trunk:
    """Cross sections of a body, from below the hips to the neck."""

    def __init__(self, skeleton: Skeleton) -> None:
        build = skeleton.build
        self.skeleton = skeleton
        self._low = skeleton.at("pelvis")
        self._rise = skeleton.at("collar") - self._low
        (hip, hip_deep), (waist, waist_deep), (chest, chest_deep) = build.hips, build.waist, build.chest
        neck = tuple(size * build.scale for size in _NECK)
        shoulder = build.shoulders
        # place, half width, half depth, forward shift
        self._sections = floats(
            [
                (-0.16, hip * 0.93, hip_deep * 0.92, -0.004),
                (0.0, hip, hip_deep, -0.008),
                (0.14, hip * 0.97, hip_deep * 0.98, -0.006),
                (0.42, waist, waist_deep, 0.002),
                (0.66, chest * 0.98, chest_deep, 0.004),
                (0.82, (chest + shoulder) / 2, chest_deep * 0.97, 0.0),
                (0.91, shoulder * 0.99, chest_deep * 0.82, -0.006),
                (0.97, shoulder * 0.86, chest_deep * 0.72, -0.012),
                (1.02, shoulder * 0.62, neck[1] * 1.22, -0.014),
                (1.065, neck[0] * 1.22, neck[1] * 1.08, -0.010),
                (1.13, neck[0] * 0.92, neck[1] * 0.95, -0.002),
            ]
        )

    def height_of(self, place: float) -> float:
        """Return metres above the ground of a place on the trunk: 0 hips, 1 collar."""
        return float(self._low[1] + self._rise[1] * place)

    def place_of(self, heights: Array) -> Array:
        """Return the inverse of `height_of`."""
        return (heights - self._low[1]) / self._rise[1]

    def section(self, place: float) -> tuple[Array, tuple[float, float]]:
        """Return the centre and half sizes of a cross section."""
        (centre,), ((wide, deep),) = self.sections(floats([place]))
        return centre, (float(wide), float(deep))

    def sections(self, places: Array) -> tuple[Array, Array]:
        """Return centres [K, 3] and half sizes [K, 2] of cross sections."""
        at, *columns = self._sections.T
        wide, deep, ahead = floats([np.interp(places, at, column) for column in columns])
        centres = self._low + self._rise * places[:, None]
        centres[:, 2] += ahead
        return centres, np.stack([wide, deep], axis=1)

    def shape(
        self, low: float, high: float, room: float = 0.0, *, flare: float = 0.0, flat_waist: float = 0.0
    ) -> Shape:
        """Return a skin around part of the trunk.

        Args:
            room: Metres around the skin.
            flare: Further metres at the lower end.
            flat_waist: How much the waist is hidden: 0 follows the body, 1 hangs straight down from the chest.
        """
        own = self._sections[:, 0]
        inner = own[(own > low + 0.02) & (own < high - 0.02)]
        places = floats([low, *inner, high])
        centres, radii = self.sections(places)
        _, (chest, hips) = self.sections(floats([0.66, 0.0]))
        wide = np.maximum(chest, hips) * np.float32(0.97)
        below = np.clip((0.72 - places) / 0.25, 0, 1)[:, None] * flat_waist
        radii = np.maximum(radii, radii * (1 - below) + wide * below)
        # Clothes lie close at the neck.
        close = np.clip((1.08 - places) / 0.1, 0.35, 1)
        lower = np.clip((0.55 - places) / max(0.55 - low, 0.05), 0, 1)
        radii = radii + (room * close + flare * lower)[:, None]
        loft = Loft(centres, radii, level=True, squareness=2.35)
        return Changed(loft, self._bust(room)) if self.skeleton.build.bust else loft

    def _bust(self, room: float) -> "_Bust":
        centre, (_, deep) = self.section(0.69)
        return _Bust(self.skeleton.build.bust, self.skeleton.build.chest[0] * 0.46, float(centre[1]), room, deep)


class _Bust:
    """Pushes the front of the chest out."""

    def __init__(self, out: float, apart: float, height: float, room: float, deep: float) -> None:
        self._out, self._apart, self._height, self._room, self._deep = out, apart, height, room, deep

    def __call__(self, u: Array, v: Array, points: Array) -> Array:
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        across = np.exp(-(((np.abs(x) - self._apart) / 0.055) ** 2))
        # Cloth spans the gap.
        across = across + (np.exp(-((x / 0.05) ** 2)) * 0.55 if self._room else 0)
        up = np.exp(-(((y - self._height) / np.where(y > self._height, 0.062, 0.045)) ** 2))
        front = np.clip(z / (self._deep * 0.6), 0, 1)
        pushed = points.copy()
        pushed[..., 2] = z + self._out * np.minimum(across, 1) * up * front
        return pushed
