"""Places: perspective views of 360-degree photographs (Poly Haven, CC0), see assets/synthesis/NOTICE.md.

The photographs are small (512 x 256 pixels before they were enlarged), so a view is as soft as the background of a portrait; fine
grain on its ground gives the eye something to hold on to where things stand.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.names import unknown_name
from lavis_sam.synthesis.backends.colours import check_split
from lavis_sam.synthesis.backends.types import Background, Direction, Rgb

FOLDER = Path(__file__).parents[2] / "assets" / "synthesis" / "scenes"

# Wavelengths of ground grain in metres, and the height of the photographer's camera.
_GRAIN = (0.012, 0.025, 0.05, 0.11, 0.24, 0.5)
_CAMERA_METRES = 1.6
# Fields of view in degrees.
_USUAL, _WIDEST = (58.0, 76.0), 98.0
_TILE = 256


@dataclass(frozen=True)
class Ground:
    """A range of directions with free ground.

    Attributes:
        start: Degrees.
        end: Degrees.
        edge: Degrees below the horizon at which the ground ends at a wall, a machine, a slope; nearer to the viewer it is free.
    """

    start: float
    end: float
    edge: float


@dataclass(frozen=True)
class Scene:
    """A place.

    Attributes:
        words: What every description of it says.
        indoors: Whether there is a roof.
        grain: Strength of the ground's grain: 0.03 planks, 0.3 grass.
        grounds: Where things can stand.
        held_out: Whether it is kept for evaluation.
    """

    words: tuple[str, ...]
    indoors: bool
    grain: float
    grounds: tuple[Ground, ...]
    held_out: bool = False


def _open(edge: float) -> tuple[Ground, ...]:
    return (Ground(0, 360, edge),)


SCENES: Mapping[str, Scene] = {
    "apartment": Scene(("apartment",), True, 0.03, (Ground(98, 172, 24), Ground(184, 230, 27), Ground(256, 288, 27))),
    "bridge": Scene(("glass bridge",), True, 0.02, (Ground(27, 63, 14), Ground(207, 243, 14), Ground(90, 180, 24))),
    "city": Scene(("city",), False, 0.13, (Ground(55, 200, 6),)),
    "dawn": Scene(("desert",), False, 0.20, (Ground(130, 200, 14), Ground(225, 330, 24)), held_out=True),
    "esplanade": Scene(("shopping centre",), True, 0.04, (Ground(25, 70, 24), Ground(288, 325, 15)), held_out=True),
    "forest": Scene(("forest",), False, 0.20, _open(22)),
    "hall": Scene(("ballroom",), True, 0.04, _open(8)),
    "lab": Scene(("machine hall",), True, 0.04, (Ground(264, 282, 34), Ground(85, 97, 34)), held_out=True),
    "lobby": Scene(("lobby",), True, 0.03, (Ground(68, 114, 12),)),
    "night": Scene(("savanna", "night"), False, 0.18, _open(6)),
    "park": Scene(("meadow",), False, 0.22, _open(4)),
    "sky": Scene(("salt flat",), False, 0.03, _open(2)),
    "studio": Scene(("photo studio",), True, 0.01, (Ground(264, 276, 12),)),
    "sunrise": Scene(("field", "sunrise"), False, 0.18, _open(6)),
    "sunset": Scene(("square", "Venice"), False, 0.12, _open(8)),
    "venice": Scene(("waterfront",), False, 0.14, (Ground(195, 340, 6),), held_out=True),
    "warehouse": Scene(("warehouse",), True, 0.07, _open(17)),
    "workshop": Scene(
        ("workshop",),
        True,
        0.05,
        (Ground(20, 58, 22), Ground(206, 230, 24), Ground(129, 144, 24), Ground(293, 304, 24)),
        held_out=True,
    ),
}


def scene_names(split: str = "all") -> tuple[str, ...]:
    """The scenes of a split: "train", "held_out" or "all".

    Raises:
        SamConfigurationError: An unknown split.
    """
    check_split(split)
    return tuple(name for name, scene in SCENES.items() if split == "all" or scene.held_out == (split == "held_out"))


def sample_view(rng: np.random.Generator, name: str, stands: float | None = None) -> tuple[float, float]:
    """A direction with free ground, and a field of view, both in degrees.

    Args:
        rng: Decides.
        name: The scene.
        stands: How far below the horizon the furthest subject stands, as a share of the picture's height: the field of view
            is then wide enough for free ground there, as far as `_WIDEST` allows.
    """
    grounds = _scene(name).grounds
    lengths = np.array([ground.end - ground.start for ground in grounds])
    ground = grounds[int(rng.choice(len(grounds), p=lengths / lengths.sum()))]
    yaw, fov = float(rng.uniform(ground.start, ground.end)), float(rng.uniform(*_USUAL))
    if stands is not None:
        # The ground's edge may rise no higher in the picture than where the subject stands.
        needed = 2 * np.arctan(0.5 * np.tan(np.deg2rad(ground.edge)) / max(stands, 0.02))
        fov = float(np.clip(np.rad2deg(needed), fov, max(fov, _WIDEST)))
    return yaw, fov


def render_background(
    name: str, yaw: float, pitch: float, fov: float, size: int = 512, *, horizon: float | None = None
) -> Background:
    """A perspective view of a scene.

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
        SamDataError: The scene's picture is missing or broken.
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
    picture = _look_up(panorama, right, ahead, low, yaw)
    edge = min((ground.edge for ground in scene.grounds if ground.start <= yaw % 360 <= ground.end), default=20.0)
    picture = _with_grain(picture, right, ahead, low, yaw, focal, scene.grain, edge)
    return Background(
        rgb=np.clip(np.rint(picture), 0, 255).astype(np.uint8),
        horizon_row=row,
        light=_turned(light, yaw),
        light_strength=strength,
        name=name,
        words=scene.words,
        indoors=scene.indoors,
        focal=focal,
    )


def _scene(name: str) -> Scene:
    if name not in SCENES:
        raise SamConfigurationError(unknown_name("scene", name, SCENES, "scene"))
    return SCENES[name]


@functools.lru_cache(maxsize=None)
def _load(name: str) -> tuple[Rgb, Direction, float]:
    """Panorama [H, 2H, 3] with a margin of its other side left and right, light and its strength."""
    try:
        with Image.open(FOLDER / f"{name}.jpg") as file:
            panorama = np.asarray(file.convert("RGB"))
        entry = json.loads((FOLDER / "lights.json").read_text("utf-8"))[name]
    except (OSError, ValueError, KeyError) as error:
        raise SamDataError(f"{FOLDER / name}.jpg: cannot be read ({error}); reinstall lavis_sam.") from error
    x, y, z = (float(part) for part in entry["direction"])
    return np.concatenate([panorama[:, -2:], panorama, panorama[:, :2]], axis=1), (x, y, z), float(entry["strength"])


def _look_up(panorama: Rgb, right: npt.NDArray, ahead: npt.NDArray, low: npt.NDArray, yaw: float) -> npt.NDArray:  # type: ignore[type-arg]
    height, width = panorama.shape[0], panorama.shape[1] - 4
    around = np.arctan2(right, ahead) + np.deg2rad(yaw)
    up = -np.arctan2(low, np.hypot(right, ahead))
    column = ((around / (2 * np.pi) + 0.5) % 1) * width - 0.5 + 2
    row = (0.5 - up / np.pi) * height - 0.5
    columns, rows = np.broadcast_arrays(column.astype(np.float32), row.astype(np.float32))
    return cv2.remap(panorama, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def _with_grain(
    picture: npt.NDArray,  # type: ignore[type-arg]
    right: npt.NDArray,  # type: ignore[type-arg]
    ahead: npt.NDArray,  # type: ignore[type-arg]
    low: npt.NDArray,  # type: ignore[type-arg]
    yaw: float,
    focal: float,
    strength: float,
    edge: float,
) -> npt.NDArray:  # type: ignore[type-arg]
    """Detail that lies on the ground in perspective; where it would be finer than the pixels there is none."""
    below = np.maximum(low, 1.0)
    x, z = right * _CAMERA_METRES / below, ahead * _CAMERA_METRES / below
    cos, sin = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    east, north = (x * cos + z * sin).astype(np.float32), (z * cos - x * sin).astype(np.float32)
    # Metres that a pixel covers: the mean of across and away.
    covers = np.sqrt((_CAMERA_METRES / below) * (focal * _CAMERA_METRES / below**2))
    total = np.zeros(picture.shape[:2], np.float32)
    for index, wave in enumerate(_GRAIN):
        scale = np.float32(8 / wave)
        columns, rows = (east * scale + 37 * index) % _TILE, (north * scale + 61 * index) % _TILE
        grain = cv2.remap(_grain(), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        total += grain * np.clip(wave / covers / 2 - 0.6, 0, 1) * (0.6 + 0.4 * index / len(_GRAIN))
    # Beyond the ground's edge there are walls, and nothing to stand on.
    below_edge = low / np.hypot(right, ahead) - np.tan(np.deg2rad(edge))
    total *= np.clip(below_edge / 0.15, 0, 1)
    return picture * (1 + strength * 0.75 * total[..., None])


@functools.lru_cache(maxsize=None)
def _grain() -> npt.NDArray[np.float32]:
    """A tile of noise that repeats without a seam; a wave is about 8 pixels long, the spread is 0.5."""
    noise = np.random.Generator(np.random.PCG64(11)).normal(size=(_TILE, _TILE)).astype(np.float32)
    wide = np.tile(noise, (3, 3))
    smooth = cv2.GaussianBlur(wide, (0, 0), 1.8)[_TILE : 2 * _TILE, _TILE : 2 * _TILE]
    return np.ascontiguousarray(smooth * (0.5 / smooth.std()))


def _turned(light: Direction, yaw: float) -> Direction:
    """A direction of the panorama (x right, y up, z to the viewer at yaw 0) as seen at another yaw."""
    angle = np.deg2rad(yaw)
    x, y, z = light
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return (x * cos + z * sin, y, z * cos - x * sin)
