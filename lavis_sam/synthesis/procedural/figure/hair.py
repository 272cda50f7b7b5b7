"""Hair styles: a shell over the skull that ends at a hairline, and what hangs or stands out from it."""

from collections.abc import Callable

import numpy as np

from lavis_sam.synthesis.procedural.figure.head import Head, Shell
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.render.noise import smooth_noise
from lavis_sam.synthesis.procedural.render.paint import Colour, Paint, linear
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Surface, limb, sphere, turn_y

# Angle around the head (radians, 0 in front) -> height on it (-1 chin, 1 crown) where hair ends.
_ANGLES = (0.0, 0.35, 0.7, 1.0, 1.25, 1.5, 1.75, 2.1, 3.15)
_LINES = {
    "short": (0.60, 0.57, 0.50, 0.36, 0.06, -0.02, -0.10, -0.48, -0.58),
    "cropped": (0.62, 0.60, 0.53, 0.40, 0.16, 0.06, -0.05, -0.42, -0.52),
    "fringe": (0.34, 0.33, 0.28, 0.12, -0.10, -0.16, -0.20, -0.55, -0.62),
    "back": (0.64, 0.62, 0.55, 0.42, 0.18, 0.10, -0.06, -0.45, -0.55),
    "open": (0.62, 0.58, 0.46, 0.22, -0.10, -0.5, -0.9, -1.0, -1.0),
}
HAIR_GLOSS = 0.16
Room = Callable[[Array, Array, Array], Array]


def hair_surfaces(style: str, colour: Colour, head: Head, *, under_hat: bool = False) -> list[Surface]:
    """Return everything of a style.

    Args:
        style: A key of `STYLES`.
    """
    return STYLES[style](head, strands(colour, head), under_hat)


def strands(colour: Colour, head: Head) -> Paint:
    """Return hair: streaks that run down from the crown."""
    value, fine = linear(colour), 46.0

    def paint(u: Array, v: Array, points: Array) -> Array:
        angle, y = head.local(points)
        streaks = np.sin(angle * fine + 3 * np.sin(angle * 7)) * 0.5 + np.sin(angle * fine * 2.3 + 1.0 + y * 2) * 0.3
        broad = np.sin(angle * 9 + 2 * np.sin(angle * 3 + 1) + y * 1.5)
        shade = 1 + 0.13 * streaks + 0.10 * broad
        return value * np.clip(shade, 0.5, 1.6)[..., None]

    return paint


def _shell(head: Head, paint: Paint, line: str, room: Room, parting: float = 0.0) -> Surface:
    heights = np.array(_LINES[line])

    def edge(angle: Array) -> Array:
        # A parting to one side, and tips of strands along the edge.
        side = np.interp(np.abs(angle), _ANGLES, heights)
        sweep = parting * np.exp(-((angle / 0.75) ** 2)) * np.tanh(angle * 2.2)
        tips = 0.022 * np.sin(angle * 31) + 0.018 * np.sin(angle * 17 + 1)
        return np.asarray(side + sweep + tips, np.float32)

    def thick(angle: Array, y: Array, directions: Array) -> Array:
        # Hair rises gently from the hairline.
        rise = np.clip((y - edge(angle)) / 0.26, 0, 1)
        return 0.012 + room(angle, y, directions) * np.sqrt(rise)

    def there(u: Array, v: Array, points: Array) -> Array:
        directions = sphere(u, v)
        angle = np.arctan2(directions[..., 0], directions[..., 2])
        return directions[..., 1] > edge(angle)

    return Surface(Shell(head, thick), paint, HAIR_GLOSS, trim=there)


def _even(top: float, sides: float) -> Room:
    return lambda angle, y, directions: (sides + (top - sides) * np.clip(y, 0, 1)).astype(np.float32)


def _short(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    def room(angle: Array, y: Array, directions: Array) -> Array:
        quiff = 0.11 * np.exp(-(((angle - 0.35) / 0.9) ** 2)) * np.clip(y, 0, 1) ** 2
        return 0.055 + 0.08 * np.clip(y, 0, 1) + quiff

    return [_shell(head, paint, "short", _even(0.04, 0.04) if under_hat else room, parting=0.10)]


def _cropped(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    return [_shell(head, paint, "cropped", _even(0.03, 0.025))]


def _curly(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    def room(angle: Array, y: Array, directions: Array) -> Array:
        curls = smooth_noise(directions, 0.17, 5) + 0.6 * smooth_noise(directions, 0.09, 6)
        lobe = np.clip(y + 0.4, 0, 1)
        return ((0.10 if under_hat else 0.30) * (0.55 + 0.45 * lobe) + 0.062 * curls).astype(np.float32)

    return [_shell(head, paint, "short", room)]


def _hanging(head: Head, paint: Paint, length: float, wave: float) -> Surface:
    """Return a curtain that hangs from the sides and the back of the head, open in front."""
    return Surface(
        _Curtain(head, length, wave),
        paint,
        HAIR_GLOSS,
        trim=lambda u, v, points: np.abs(u - 0.5) > 0.165 + 0.05 * (1 - v) ** 2,
    )


class _Curtain:
    """u goes around the head as on its sphere, v from the temples down."""

    outward = 0

    def __init__(self, head: Head, length: float, wave: float) -> None:
        self._head, self._length, self._wave = head, length, wave
        collar = head.skeleton.at("collar")[1]
        self._shoulder = float(head.centre[1] - collar) / (2 * head.half)

    def point(self, u: Array, v: Array) -> Array:
        """See `Shape`."""
        head = self._head
        around = 2 * np.pi * np.asarray(u, np.float32)
        down = np.asarray(v, np.float32)
        drop = 0.42 - down * (0.42 + self._length)  # in head heights, relative to the middle of the head
        # Over the shoulders hair lies behind them.
        low = np.clip((-drop - self._shoulder + 0.25) / 0.3, 0, 1)
        # At its top the curtain follows the skull.
        dome = (1 - np.clip(2 * drop, 0, 0.999) ** 2.6) ** (1 / 2.6)
        out = 1.08 * dome + 0.10 * np.sin(np.pi * np.clip(down * 1.1, 0, 1)) + 0.04 * low
        tips = 1 - 0.10 * np.clip((down - 0.8) / 0.2, 0, 1) ** 2
        ripple = self._wave * np.sin(around * 9 + down * 9) * np.clip(down * 2, 0, 1)
        side = -np.sin(around) * head.radii[0] * (out * tips + ripple)
        deep = -np.cos(around) * head.radii[2] * (out * tips * (1 - 0.10 * down) + ripple)
        deep = deep - head.radii[2] * (0.10 * down + 0.62 * low)
        fringe = 0.05 * np.sin(around * 23) * np.clip((down - 0.85) / 0.15, 0, 1)
        parts = np.broadcast_arrays(side, (drop + fringe * 0.5) * 2 * head.half, deep)
        return turn_y(np.stack(parts, axis=-1), head.turn) + head.centre


def _bob(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    shell = _shell(head, paint, "fringe", _even(0.06, 0.06) if under_hat else _even(0.11, 0.10))
    return [shell, _hanging(head, paint, 0.46, 0.012)]


def _long(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    shell = _shell(head, paint, "open", _even(0.05, 0.06) if under_hat else _even(0.11, 0.09), parting=0.16)
    return [shell, _hanging(head, paint, 1.35, 0.012)]


def _wavy(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    shell = _shell(head, paint, "open", _even(0.05, 0.08) if under_hat else _even(0.15, 0.13), parting=-0.16)
    return [shell, _hanging(head, paint, 1.0, 0.05)]


def _tail(
    head: Head, paint: Paint, start: tuple[float, float, float], path: list[tuple[float, float, float]]
) -> Surface:
    """Return a bundle of hair along a path; places in half head heights from the middle of the head."""
    points = floats([start, *path]) * head.half
    placed = turn_y(points, head.turn) + head.centre
    radii = np.interp(np.linspace(0, 1, len(placed)), [0, 0.25, 0.6, 1], [0.16, 0.27, 0.24, 0.07]) * head.half
    return Surface(limb(placed, radii), paint, HAIR_GLOSS)


def _tie(head: Head, at: tuple[float, float, float]) -> Surface:
    centre = turn_y(floats(at) * head.half, head.turn) + head.centre
    colour = linear((206, 60, 84))
    return Surface(
        Ellipsoid(tuple(centre), (0.17 * head.half,) * 3), lambda u, v, points: np.broadcast_to(colour, points.shape)
    )


def _ponytail(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    start = (0.12, 0.30 if under_hat else 0.62, -0.82)
    path = [(0.34, start[1] + 0.12, -1.1), (0.66, 0.15, -1.15), (0.86, -0.55, -1.0), (0.88, -1.25, -0.75)]
    return [_shell(head, paint, "back", _even(0.05, 0.045)), _tail(head, paint, start, path), _tie(head, start)]


def _pigtails(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    surfaces = [_shell(head, paint, "fringe", _even(0.06, 0.05))]
    for side in (-1, 1):
        start = (side * 0.66, 0.02 if under_hat else 0.20, -0.25)
        path = [(side * 1.0, start[1] + 0.05, -0.30), (side * 1.18, -0.40, -0.25), (side * 1.08, -1.0, -0.12)]
        surfaces += [_tail(head, paint, start, path), _tie(head, (side * 0.74, start[1] + 0.02, -0.27))]
    return surfaces


def _bun(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    height, back = (-0.1, -1.0) if under_hat else (1.12, -0.28)
    centre = turn_y(floats([0, height, back]) * head.half, head.turn) + head.centre
    ball = Ellipsoid(tuple(centre), (0.33 * head.half, 0.30 * head.half, 0.33 * head.half))
    return [_shell(head, paint, "back", _even(0.06, 0.05)), Surface(ball, paint, HAIR_GLOSS)]


def _bald(head: Head, paint: Paint, under_hat: bool) -> list[Surface]:
    return []


Style = Callable[[Head, Paint, bool], list[Surface]]
STYLES: dict[str, Style] = {
    "short": _short,
    "cropped": _cropped,
    "curly": _curly,
    "bobbed": _bob,
    "long": _long,
    "wavy": _wavy,
    "ponytail": _ponytail,
    "pigtails": _pigtails,
    "bun": _bun,
    "bald": _bald,
}
