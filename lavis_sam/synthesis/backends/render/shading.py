"""Light on a frame: a soft key light with shadows, a bright surround, and darker folds and corners."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lavis_sam.synthesis.backends.render.arrays import Array
from lavis_sam.synthesis.backends.render.camera import Camera, LightCamera
from lavis_sam.synthesis.backends.render.mesh import SAMPLES, cells_for, looked_up, table
from lavis_sam.synthesis.backends.render.raster import Frame, bounds, rasterise
from lavis_sam.synthesis.backends.render.surfaces import Shape, Surface, turn_y, unit

_STEP = np.float32(2e-3)
_SHADOW_PIXELS = 300
_MOST_CELLS = 120
# Metres: below this a surface would shade itself.
_SHADOW_BIAS = 0.014
_SHADOW_TAPS = ((0.0, 0.0), (1.6, 0.4), (-1.6, -0.4), (0.4, -1.6), (-0.4, 1.6), (1.1, 1.3), (-1.1, 1.3), (1.3, -1.1))
# Reach (share of the figure's height) and strength of the occlusion between near and far parts.
_OCCLUSION = ((0.012, 0.55), (0.035, 0.60))


@dataclass(frozen=True)
class Lighting:
    """A studio.

    Attributes:
        key: Unit vector towards the key light.
        key_strength: Of the key light.
        sky: Light from above.
        floor: Light from below.
    """

    key: tuple[float, float, float] = (-0.42, 0.62, 0.66)
    key_strength: float = 0.78
    sky: float = 0.52
    floor: float = 0.26


def shade(frame: Frame, surfaces: Sequence[Surface], camera: Camera, light: Lighting) -> Array:
    """Linear colours [H * W, 3] of a frame; zero where there is nothing."""
    colour = np.zeros((frame.width * frame.height, 3), np.float32)
    places = np.zeros_like(colour)
    normals = np.zeros_like(colour)
    gloss = np.zeros(len(colour), np.float32)
    order = np.argsort(frame.owner, kind="stable")
    starts = np.searchsorted(frame.owner[order], np.arange(len(surfaces) + 1))
    for index, surface in enumerate(surfaces):
        cells = order[starts[index] : starts[index + 1]]
        if len(cells):
            u, v = frame.u[cells], frame.v[cells]
            places[cells], normals[cells] = _place_and_normal(surface, u, v)
            colour[cells] = surface.paint(u, v, places[cells])
            gloss[cells] = surface.gloss
    there = frame.owner >= 0
    places, normals, gloss = places[there], normals[there], gloss[there]
    view = camera.to_eye(places)
    normals *= np.where((normals * view).sum(axis=1, keepdims=True) < 0, -1, 1)
    key = turn_y(unit(light.key), -camera.turn)
    # Light wraps a little around the edge, as from a large lamp.
    facing = np.clip((normals @ key + 0.18) / 1.18, 0, 1)
    lit = facing * _lit(surfaces, places, normals, key)
    surround = light.floor + (light.sky - light.floor) * (0.5 + 0.5 * normals[:, 1])
    occlusion = _occlusion(frame, there)
    bright = surround * occlusion + light.key_strength * lit * (0.35 + 0.65 * occlusion)
    half = unit(key + view)
    shine = gloss * np.clip((normals * half).sum(axis=1), 0, 1) ** 28 * (0.3 + 0.7 * lit)
    colour[there] = colour[there] * bright[:, None] + shine[:, None] * 0.8
    return colour


def _place_and_normal(surface: Surface, u: Array, v: Array) -> tuple[Array, Array]:
    cells = (_cells(u), _cells(v))
    here = looked_up(table(surface.shape.point, *cells), u, v)
    across = looked_up(table(lambda u, v: _difference(surface.shape, u, v, 0), *cells), u, v)
    along = looked_up(table(lambda u, v: _difference(surface.shape, u, v, 1), *cells), u, v)
    normal = unit(np.cross(across, along))
    if surface.bump is None:
        return here, normal
    bump = surface.bump
    across += normal * (bump(here + across / 2) - bump(here - across / 2))[:, None]
    along += normal * (bump(here + along / 2) - bump(here - along / 2))[:, None]
    return here, unit(np.cross(across, along))


def _cells(places: Array) -> int:
    """Enough cells for the pixels that a surface has along an axis, as a square of them would have."""
    return cells_for(min(_MOST_CELLS * SAMPLES, round(2 * len(places) ** 0.5)))


def _difference(shape: Shape, u: Array, v: Array, axis: int) -> Array:
    """How far a shape goes along u (axis 0) or v (axis 1) near a place."""
    # Poles and seams have no derivative; a hair's breadth beside them there is one.
    v = np.clip(v, 2 * _STEP, 1 - 2 * _STEP)
    if axis == 0:
        return shape.point(u + _STEP, v) - shape.point(u - _STEP, v)
    return shape.point(u, v + _STEP) - shape.point(u, v - _STEP)


def _lit(surfaces: Sequence[Surface], places: Array, normals: Array, key: Array) -> Array:
    """Share of the key light that reaches each place, [n]."""
    throwing = [surface for surface in surfaces if surface.shadows]
    first = LightCamera.towards(key, 1.0)
    left, top, right, bottom = bounds(throwing, first)
    scale = _SHADOW_PIXELS / max(right - left, bottom - top)
    view = LightCamera(first.axes, scale, (4 - left * scale, 4 - top * scale))
    width, height = int((right - left) * scale) + 9, int((bottom - top) * scale) + 9
    depth = rasterise(throwing, view, width, height).depth.reshape(height, width)
    # Surfaces that face away from the light need no shadow map, and grazing ones a little more distance from it.
    column, row, own = view.project(places + normals * np.float32(1.2 / scale))
    reached = np.zeros(len(places), np.float32)
    for right_by, down_by in _SHADOW_TAPS:
        x = np.clip(np.round(column + right_by - 0.5).astype(np.int32), 0, width - 1)
        y = np.clip(np.round(row + down_by - 0.5).astype(np.int32), 0, height - 1)
        reached += own - np.float32(_SHADOW_BIAS) <= depth[y, x]
    return reached / np.float32(len(_SHADOW_TAPS))


def _occlusion(frame: Frame, there: np.ndarray) -> Array:
    """1 in the open, less where nearer parts surround a place, [n]."""
    mask = there.reshape(frame.height, frame.width).astype(np.float32)
    depth = np.where(there, frame.depth, 0).astype(np.float32).reshape(frame.height, frame.width)
    # Blurs this wide need no more than a quarter of the pixels.
    size = (frame.width, frame.height)
    small_mask, small_depth = (
        cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for plane in (mask, depth)
    )
    rows = np.nonzero(mask.any(axis=1))[0]
    figure = float(rows[-1] - rows[0] + 1) if len(rows) else 1.0
    open_share = np.ones_like(mask)
    for reach, strength in _OCCLUSION:
        sigma = max(1.0, reach * figure / 2)
        weight = cv2.GaussianBlur(small_mask, (0, 0), sigma)
        near = cv2.resize(cv2.GaussianBlur(small_depth, (0, 0), sigma) / np.maximum(weight, 1e-4), size)
        behind = np.clip((depth - near) / (0.03 + 2 * reach), 0, 1)
        open_share *= 1 - strength * behind * mask
    return open_share.reshape(-1)[there]
