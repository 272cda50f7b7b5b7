"""Places: perspective views of 360-degree photographs (Poly Haven, CC0), see assets/synthesis/NOTICE.md.

The photographs are small (512 x 256 pixels before they were enlarged), so a view is as soft as the background of a
portrait; fine grain on its ground gives the eye something to hold on to where objects stand.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.procedural.colours import check_split
from lavis_sam.synthesis.procedural.places import SCENES, Scene
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.records import Rgb

Direction = tuple[float, float, float]  # in the camera's frame: x to the right, y up, z towards the viewer

FOLDER = Path(__file__).parents[2] / "assets" / "synthesis" / "scenes"

# Wavelengths of ground grain in metres, and the height of the photographer's camera.
_GRAIN = (0.012, 0.025, 0.05, 0.11, 0.24, 0.5)
_CAMERA_METRES = 1.6
# Fields of view in degrees, and how many views are tried.
_USUAL, _WIDEST = (58.0, 78.0), 98.0
_TRIALS = 40
# Degrees by which a hind foot may stand beyond the edge of the ground, as against a wall.
_MOST_LACK = 6.0
_TILE = 256


@dataclass(frozen=True)
class SceneView:
    """A perspective view of a place.

    Attributes:
        rgb: [S, S, 3] the view.
        horizon_row: Row of the horizon in pixels, from the top; may lie outside the image.
        light: Unit vector towards the main light.
        light_strength: 0 for an overcast sky or a room of soft light, 1 for a hard sun.
        indoors: Whether there is a roof.
        focal: Pixels; what the field of view is for S.
    """

    rgb: Rgb
    horizon_row: float
    light: Direction
    light_strength: float
    indoors: bool
    focal: float


def scene_names(split: str = "all") -> tuple[str, ...]:
    """Return the scenes of a split: "train", "held_out" or "all".

    Raises:
        SamConfigurationError: An unknown split.
    """
    check_split(split)
    return tuple(name for name, scene in SCENES.items() if split == "all" or scene.held_out == (split == "held_out"))


def sample_view(rng: np.random.Generator, name: str, feet: Sequence[tuple[float, float]] = ()) -> tuple[float, float]:
    """Return a direction and a field of view, both in degrees, that has free ground where objects stand.

    Args:
        feet: Where objects stand: to the right of the middle and below the horizon, in shares of the image's side.

    Raises:
        SamConfigurationError: An unknown scene.
        SamDataError: Whatever the view, something would stand in a wall or on water.
    """
    view, lack = _best_view(rng, _scene(name), feet)
    if lack > _MOST_LACK:
        raise SamDataError(f"scene {name}: no view has free ground for everything; {lack:.0f} degrees are missing")
    return view


def has_room(rng: np.random.Generator, name: str, feet: Sequence[tuple[float, float]]) -> bool:
    """Return whether `sample_view` finds free ground; the arguments are its own.

    Raises:
        SamConfigurationError: An unknown scene.
    """
    return _best_view(rng, _scene(name), feet)[1] <= _MOST_LACK


def _best_view(
    rng: np.random.Generator, scene: Scene, feet: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float], float]:
    """Return a view (see `sample_view`), and by how many degrees the worst foot is beyond the edge of the ground."""
    lengths = np.array([end - start for start, end in scene.views])
    right, below = floats(feet).reshape(-1, 2).T
    best, least = (0.0, 0.0), np.inf
    for trial in range(_TRIALS):
        start, end = scene.views[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
        yaw = float(rng.uniform(start, end))
        # Wide views have more ground, and look less like photographs: they come last.
        fov = float(rng.uniform(*(_USUAL if trial < _TRIALS // 2 else (_USUAL[1], _WIDEST))))
        focal = 0.5 / np.tan(np.deg2rad(fov / 2))
        sinks = np.rad2deg(np.arctan2(below, np.hypot(right, focal)))
        lack = float(np.max(scene.edge(yaw + np.rad2deg(np.arctan2(right, focal))) - sinks, initial=0.0))
        if lack < least:
            best, least = (yaw, fov), lack
        if not least:
            break
    return best, float(least)


def render_background(
    name: str, yaw: float, pitch: float, fov: float, size: int = 512, *, horizon: float | None = None
) -> SceneView:
    """Return a perspective view of a scene.

    Args:
        name: One of `scene_names`.
        yaw: Degrees to the right.
        pitch: Degrees upward; tilts the camera, so upright lines converge.
        fov: Field of view in degrees, 20 to 120.
        size: Side S in pixels.
        horizon: Share of S from the top at which the horizon shall be; the camera then looks straight ahead and keeps
            lines upright, as the camera of `stages/composite.py` does. Needs `pitch` 0.

    Raises:
        SamConfigurationError: An unknown scene, or a value out of range.
        SamDataError: The scene's image is missing or broken.
    """
    scene = _scene(name)
    if not 20 <= fov <= 120:
        raise SamConfigurationError(f"fov: found {fov:g}, wanted 20 to 120 degrees.")
    if not -60 <= pitch <= 60 or (horizon is not None and pitch):
        raise SamConfigurationError(
            f"pitch: found {pitch:g}, wanted -60 to 60 degrees, and 0 where a horizon is given."
        )
    panorama, light, strength = _load(name)
    focal = size / 2 / float(np.tan(np.deg2rad(fov / 2)))
    angle = float(np.deg2rad(pitch))
    row = size * (0.5 if horizon is None else horizon) + focal * float(np.tan(angle))
    centre = size / 2 if horizon is None else size * horizon
    right = (np.arange(size, dtype=np.float32) + 0.5 - size / 2)[None, :]
    down = (np.arange(size, dtype=np.float32) + 0.5 - centre)[:, None]
    ahead = focal * np.cos(angle) + down * np.sin(angle)
    low = down * np.cos(angle) - focal * np.sin(angle)
    image = _look_up(panorama, right, ahead, low, yaw)
    edge = scene.edge(yaw + np.rad2deg(np.arctan2(right, ahead)))
    image = _with_grain(image, right, ahead, low, yaw, focal, scene.grain, edge)
    rgb = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return SceneView(rgb, row, _turned(light, yaw), strength, scene.indoors, focal)


def _scene(name: str) -> Scene:
    if name not in SCENES:
        raise SamConfigurationError(unknown_name("scene", name, SCENES, "scene"))
    return SCENES[name]


@functools.cache
def _load(name: str) -> tuple[Rgb, Direction, float]:
    """Return the panorama [H, 2H, 3] with a margin of its other side left and right, light and its strength."""
    try:
        with Image.open(FOLDER / f"{name}.jpg") as file:
            panorama = np.asarray(file.convert("RGB"))
        curve = 255 * (np.arange(256) / 255) ** (1 / _scene(name).brightness)
        panorama = np.rint(curve).astype(np.uint8)[panorama]
        entry = json.loads((FOLDER / "lights.json").read_text("utf-8"))[name]
    except (OSError, ValueError, KeyError) as error:
        raise SamDataError(f"{FOLDER / name}.jpg: cannot be read ({error}); reinstall lavis_sam.") from error
    x, y, z = (float(part) for part in entry["direction"])
    return np.concatenate([panorama[:, -2:], panorama, panorama[:, :2]], axis=1), (x, y, z), float(entry["strength"])


def _look_up(panorama: Rgb, right: npt.NDArray, ahead: npt.NDArray, low: npt.NDArray, yaw: float) -> npt.NDArray:
    height, width = panorama.shape[0], panorama.shape[1] - 4
    around = np.arctan2(right, ahead) + np.deg2rad(yaw)
    up = -np.arctan2(low, np.hypot(right, ahead))
    column = ((around / (2 * np.pi) + 0.5) % 1) * width - 0.5 + 2
    row = (0.5 - up / np.pi) * height - 0.5
    columns, rows = np.broadcast_arrays(column.astype(np.float32), row.astype(np.float32))
    return cv2.remap(panorama, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def _with_grain(
    image: npt.NDArray,
    right: npt.NDArray,
    ahead: npt.NDArray,
    low: npt.NDArray,
    yaw: float,
    focal: float,
    strength: float,
    edge: Array,
) -> npt.NDArray:
    """Return the image with detail on its ground, in perspective; none where it would be finer than the pixels."""
    below = np.maximum(low, 1.0)
    cos, sin = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    # Metres that a pixel covers: the mean of across and away. All of a row cover the same.
    covers = np.sqrt((_CAMERA_METRES / below) * (focal * _CAMERA_METRES / below**2))
    total = np.zeros(image.shape[:2], np.float32)
    for index, wave in enumerate(_GRAIN):
        weight = np.clip(wave / covers / 2 - 0.6, 0, 1) * (0.6 + 0.4 * index / len(_GRAIN))
        shown = np.nonzero((weight > 0) & (low > 0))[0]
        if not len(shown):
            continue
        near = slice(shown[0], shown[-1] + 1)
        x, z = right * _CAMERA_METRES / below[near], ahead[near] * _CAMERA_METRES / below[near]
        scale = 8 / wave
        columns = ((x * cos + z * sin) * scale + 37 * index).astype(np.float32)
        rows = ((z * cos - x * sin) * scale + 61 * index).astype(np.float32)
        grain = cv2.remap(_grain(), columns % _TILE, rows % _TILE, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        total[near] += grain * weight[near]
    # Beyond the ground's edge there are walls, and nothing to stand on.
    below_edge = low / np.hypot(right, ahead) - np.tan(np.deg2rad(edge))
    total *= np.clip(below_edge / 0.15, 0, 1)
    return image * (1 + strength * 0.75 * total[..., None])


@functools.cache
def _grain() -> npt.NDArray[np.float32]:
    """Return a tile of noise that repeats without a seam; a wave is about 8 pixels long, the spread is 0.5."""
    noise = np.random.Generator(np.random.PCG64(11)).normal(size=(_TILE, _TILE)).astype(np.float32)
    wide = np.tile(noise, (3, 3))
    smooth = cv2.GaussianBlur(wide, (0, 0), 1.8)[_TILE : 2 * _TILE, _TILE : 2 * _TILE]
    return np.ascontiguousarray(smooth * (0.5 / smooth.std()))


def _turned(light: Direction, yaw: float) -> Direction:
    """Return a direction of the panorama (x right, y up, z to the viewer at yaw 0) as seen at another yaw."""
    angle = np.deg2rad(yaw)
    x, y, z = light
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return (x * cos + z * sin, y, z * cos - x * sin)
