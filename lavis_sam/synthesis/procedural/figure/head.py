"""Skull, face, ears and neck. Features are painted, the nose is formed."""

from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.procedural.figure.limbs import SKIN_GLOSS
from lavis_sam.synthesis.procedural.figure.skeleton import Skeleton
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.paint import Colour, Paint, linear, mixed, soft_step
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Surface, limb, sphere, turn_y

# Heights on the head, -1 chin to 1 crown; angles around it in radians, 0 in front.
EYE_HEIGHT, EYE_ANGLE = -0.02, 0.40
_MOUTH_HEIGHT = -0.56
_SIDE_BY_HEIGHT = 0.315  # half width of a head as a share of its height
_DEPTH_BY_HEIGHT = 0.375


@dataclass(frozen=True)
class Face:
    """How a face looks.

    Attributes:
        lips: Strength of the lips' colour, 0 to 1.
        beard: Whether there is one.
        jaw: Width of the lower face, 0 narrow to 1 broad.
        age: 0 young to 1 old: lines.
        childlike: Whether eyes are large and the nose small.
        smile: 0 to 1.
    """

    skin: Colour
    eyes: Colour
    brows: Colour
    lips: float
    beard: bool
    jaw: float
    age: float
    childlike: bool
    smile: float


class Head:
    """The form of a head; hair and hats are the same form with more room."""

    def __init__(self, skeleton: Skeleton, face: Face) -> None:
        half = skeleton.build.head / 2
        self.skeleton, self.face = skeleton, face
        self.centre = skeleton.at("head")
        self.radii = floats([_SIDE_BY_HEIGHT * 2 * half, half, _DEPTH_BY_HEIGHT * 2 * half])
        self.turn = skeleton.pose.head_turn
        self.half = half

    def form(self, directions: Array, room: Array | float = 0.0, *, nose: bool = True) -> Array:
        """Return points of the head in the directions [..., 3] of a unit sphere.

        Args:
            room: Share of the head's size that is added, a number or [...].
            nose: Whether the face has its features.
        """
        x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
        below = np.clip(-y, 0, 1)
        # The crown is broader than a ball's.
        above = np.clip(y, 0, 0.9999)
        dome = (1 - above**2.6) ** (1 / 2.6) / np.sqrt(1 - above**2)
        width = dome - (0.36 - 0.14 * self.face.jaw) * below**1.9
        back = np.where(z < 0, 1 - 0.42 * below**1.3, 1 - 0.10 * below)
        # The back of the skull is fuller than its front.
        deep = z * dome * back * np.where(z < 0, 1.03, 0.97)
        placed = np.stack([x * width, y, deep], axis=-1) * (1 + np.asarray(room, np.float32))[..., None]
        if nose:
            size = 0.72 if self.face.childlike else 1.0
            angle = np.arctan2(x, z)
            tip = np.exp(-((angle / 0.135) ** 2) - ((y + 0.30) / 0.105) ** 2)
            bridge = np.exp(-((angle / 0.085) ** 2) - ((y + 0.13) / 0.17) ** 2)
            lips = np.exp(-((angle / 0.30) ** 2) - ((y - _MOUTH_HEIGHT) / 0.09) ** 2)
            sockets = np.exp(-(((np.abs(angle) - EYE_ANGLE) / 0.20) ** 2) - ((y - EYE_HEIGHT) / 0.13) ** 2)
            placed[..., 2] += (0.17 * tip + 0.06 * bridge) * size + 0.025 * lips - 0.035 * sockets
        return turn_y(placed * self.radii, self.turn) + self.centre

    def local(self, points: Array) -> tuple[Array, Array]:
        """Return the angle around the head and height on it, of points near its surface."""
        own = turn_y(points - self.centre, -self.turn) / self.radii
        return np.arctan2(own[..., 0], own[..., 2]), own[..., 1]

    outward = -1

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        return self.form(sphere(u, v))


@dataclass(frozen=True)
class Shell:
    """A cover over the head.

    Attributes:
        room: (angle around, height, directions) -> share of the head's size that is added.
    """

    head: Head
    room: object
    outward = -1

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        directions = sphere(u, v)
        angle = np.arctan2(directions[..., 0], directions[..., 2])
        return self.head.form(directions, self.room(angle, directions[..., 1], directions), nose=False)  # type: ignore[operator]


def head_surfaces(head: Head, skin: Paint) -> list[Surface]:
    """Return head with its face, ears and neck."""
    skeleton, half = head.skeleton, head.half
    ears = []
    for side in (-1, 1):
        middle = head.form(floats([side * 0.99, -0.06, -0.08]), nose=False)
        frame = turn_y(np.eye(3, dtype=np.float32), head.turn)
        ears.append(Surface(Ellipsoid(tuple(middle), (half * 0.10, half * 0.23, half * 0.14), frame), skin, SKIN_GLOSS))
    thick = 0.058 * skeleton.build.scale * (0.55 + 0.42 * skeleton.build.limb)
    low = skeleton.at("collar")
    neck = limb(
        [low + floats([0, -0.02, -0.012]), skeleton.at("neck") + floats([0, 0.045, -0.002])],
        [thick * 1.08, thick * 0.95],
    )
    return [Surface(head, face_paint(head.face), SKIN_GLOSS), *ears, Surface(neck, skin, SKIN_GLOSS)]


def face_paint(face: Face) -> Paint:
    """Return skin with eyes, brows, mouth and cheeks; u and v are those of the head's sphere."""
    skin = linear(face.skin)
    blush = linear(mixed(face.skin, (226, 96, 84), 0.45))
    lip = linear(mixed(mixed(face.skin, (150, 60, 60), 0.45), (200, 50, 70), 0.6 * face.lips))
    brow, lash = linear(face.brows), linear((44, 30, 28))
    shadow = linear(mixed(face.skin, (90, 50, 40), 0.4))
    large = 1.38 if face.childlike else 1.16

    def paint(u: Array, v: Array, points: Array) -> Array:
        """Return the colour at each point."""
        directions = sphere(u, v)
        angle, y = np.arctan2(directions[..., 0], directions[..., 2]), directions[..., 1]
        colour = np.broadcast_to(skin, (*u.shape, 3)).copy()
        side = np.abs(angle)

        def cover(share: Array, over: Array) -> None:
            colour[:] = colour * (1 - share[:, None]) + over * share[:, None]

        cover(0.42 * np.exp(-(((side - 0.62) / 0.24) ** 2) - ((y + 0.33) / 0.15) ** 2), blush)
        if face.age:
            lines = np.exp(-(((side - 0.36 - 0.5 * (-0.38 - y)) / 0.03) ** 2) - ((y + 0.42) / 0.12) ** 2)
            lines += sum(np.exp(-(((y - height) / 0.014) ** 2) - (angle / 0.42) ** 2) for height in (0.36, 0.45))
            cover(0.4 * face.age * np.clip(lines, 0, 1), shadow)
        if face.beard:
            cover(_beard(angle, y), brow)
        _mouth(cover, angle, y, face, lip, lash)
        _eyes(cover, side, angle, y, face, large, lash)
        arch = y - (0.20 + 0.05 * large) - 0.10 * np.cos((side - 0.42) * 4.2)
        thick = 0.030 if face.lips > 0.5 else 0.042
        ends = soft_step(side, 0.19, 0.03) * (1 - soft_step(side, 0.66, 0.05))
        cover((1 - soft_step(np.abs(arch), thick, 0.025)) * ends * 0.92, brow)
        return colour

    return paint


def _eyes(cover, side: Array, angle: Array, y: Array, face: Face, large: float, lash: Array) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    across, up = (side - EYE_ANGLE) / (0.165 * large), (y - EYE_HEIGHT) / (0.098 * large)
    almond = across**2 + (up * (1 + 0.25 * across**2)) ** 2
    lid = across**2 * 0.82 + ((up - 0.16) / 1.12) ** 2
    cover((1 - soft_step(lid, 1.16, 0.22)) * soft_step(up, -0.15, 0.5), lash)
    cover(1 - soft_step(almond, 0.92, 0.22), linear((246, 246, 244)))
    disc = (across * 0.165 * large) ** 2 + (up * 0.098 * large) ** 2
    radius = 0.088 * large
    inside = 1 - soft_step(almond, 0.95, 0.15)
    cover((1 - soft_step(disc, radius**2, 0.004)) * inside, linear(face.eyes))
    cover((1 - soft_step(disc, (radius * 0.55) ** 2, 0.002)) * inside, linear((22, 18, 18)))
    # The lamp's reflection lies to the same side in both eyes.
    glint = (angle - np.sign(angle) * EYE_ANGLE + 0.035) ** 2 + (y - EYE_HEIGHT - 0.035) ** 2
    cover((1 - soft_step(glint, 0.0008, 0.0006)) * 0.95, linear((255, 255, 255)))


def _mouth(cover, angle: Array, y: Array, face: Face, lip: Array, dark: Array) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    half = 0.33 + 0.06 * face.smile
    share = np.clip(np.abs(angle) / half, 0, 1.5)
    middle = _MOUTH_HEIGHT - 0.02 + 0.095 * face.smile * share**2
    full = (0.045 + 0.030 * face.lips) * np.sqrt(np.clip(1 - share**2, 0, 1))
    away = y - middle
    upper, lower = full * 0.8, full * 1.15
    inside = np.where(away > 0, away / np.maximum(upper, 1e-3), -away / np.maximum(lower, 1e-3))
    cover((1 - soft_step(inside, 1.0, 0.5)) * (share < 1) * (0.55 + 0.4 * face.lips), lip)
    cover((1 - soft_step(np.abs(away), 0.016, 0.016)) * (1 - soft_step(share, 1.02, 0.15)) * 0.75, dark)


def _beard(angle: Array, y: Array) -> Array:
    """Return where a beard covers the face, 0 to 1."""
    side = np.abs(angle)
    upper_edge = np.interp(side, [0, 0.22, 0.40, 0.75, 1.15, 1.45, 1.6], [-0.40, -0.41, -0.46, -0.42, -0.18, 0.10, 0.1])
    there = 1 - soft_step(y, upper_edge.astype(np.float32), 0.06)
    lips = (angle / 0.30) ** 2 + ((y - _MOUTH_HEIGHT) / 0.085) ** 2
    under = soft_step(side, 1.62, 0.1)
    return there * soft_step(lips, 1.0, 0.3) * (1 - under) * 0.9
