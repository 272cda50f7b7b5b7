"""Light on a frame: a soft key light with shadows, a bright surround, and darker folds and corners.

Lists of points and colours are [3, n] here: NumPy is several times faster along long axes than along short ones.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import Array
from lavis_sam.synthesis.procedural.render.camera import Camera, LightCamera
from lavis_sam.synthesis.procedural.render.mesh import Mesh, cells_for, continued, looked_up, nodes
from lavis_sam.synthesis.procedural.render.raster import Frame, bounds, depth_map
from lavis_sam.synthesis.procedural.render.surfaces import Bump, Shape, turn_y, unit

# Half the size of the patch, as a share of the whole surface, that tells which way a surface faces.
_STEP = np.float32(2e-3)
# Metres between the places that tell how steep a bump is.
_BUMP_STEP = np.float32(1e-3)
_MOST_CELLS = 120
_SHADOW_PIXELS = 300
# Metres: below this a surface would shade itself.
_SHADOW_BIAS = 0.014
_SHADOW_TAPS = ((0.0, 0.0), (1.6, 0.4), (-1.6, -0.4), (0.4, -1.6), (-0.4, 1.6), (1.1, 1.3), (-1.1, 1.3), (1.3, -1.1))
# Pixels around the shadow map: more than the taps reach.
_SHADOW_MARGIN = 4
# Reach (share of the figure's height) and strength of the occlusion between near and far parts.
_OCCLUSION = ((0.012, 0.55), (0.035, 0.60))


@dataclass(frozen=True)
class Lighting:
    """A studio.

    Attributes:
        key: Unit vector towards the key light.
        sky: Light from above.
        floor: Light from below.
    """

    key: tuple[float, float, float] = (-0.42, 0.62, 0.66)
    key_strength: float = 0.78
    sky: float = 0.52
    floor: float = 0.26


def shade(frame: Frame, mesh: Mesh, camera: Camera, light: Lighting) -> Array:
    """Return linear colours [3, n] of a frame's pixels."""
    places, normals, colour = _found(frame, mesh)
    gloss = np.repeat([np.float32(surface.gloss) for surface in mesh.surfaces], np.diff(frame.starts))
    view = _unit(camera.place[:, None] - places)
    normals = _unit(normals)
    normals *= np.where(_dot(normals, view) < 0, np.float32(-1), np.float32(1))
    key = turn_y(unit(light.key), -camera.turn)
    # Light wraps a little around the edge, as from a large lamp.
    lit = np.clip((key @ normals + np.float32(0.18)) / np.float32(1.18), 0, 1)
    lit *= _lit(mesh, places, normals, key)
    surround = normals[1] * np.float32((light.sky - light.floor) / 2) + np.float32((light.sky + light.floor) / 2)
    occlusion = _occlusion(frame)
    bright = surround * occlusion + np.float32(light.key_strength) * lit * (0.35 + 0.65 * occlusion)
    half = _unit(key[:, None] + view)
    shine = gloss * np.clip(_dot(normals, half), 0, 1) ** 28 * (0.24 + 0.56 * lit)
    colour *= bright
    colour += shine
    return colour


def _found(frame: Frame, mesh: Mesh) -> tuple[Array, Array, Array]:
    """Return points, normals of any length, and the surfaces' own colours, all [3, n]."""
    places, normals, colour = np.empty((3, 3, len(frame.pixels)), np.float32)
    own = [slice(*ends) for ends in itertools.pairwise(frame.starts)]
    seen = [index for index, pixels in enumerate(own) if pixels.start < pixels.stop]
    nets = _nets([mesh.surfaces[index].shape for index in seen], [_cells(own[index]) for index in seen])
    for index, net in zip(seen, nets, strict=True):
        surface, pixels = mesh.surfaces[index], own[index]
        u, v = frame.u[pixels], frame.v[pixels]
        found = looked_up(net, u, v)
        here, normal = np.ascontiguousarray(found[:, :3]), found[:, 3:]
        if surface.bump is not None:
            normal = _bumped(surface.bump, here, unit(normal))
        places[:, pixels], normals[:, pixels], colour[:, pixels] = here.T, normal.T, surface.paint(u, v, here).T
    return places, normals, colour


def _dot(first: Array, second: Array) -> Array:
    """Return scalar products [n] of vectors [3, n]."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _unit(vectors: Array) -> Array:
    """Return vectors [3, n] with length 1."""
    return vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), np.float32(1e-9))


def _cells(pixels: slice) -> int:
    """Return enough cells for the pixels that a surface has along an axis, as a square of them would have."""
    return min(_MOST_CELLS, cells_for(1.6 * (pixels.stop - pixels.start) ** 0.5))


def _nets(shapes: Sequence[Shape], cells: Sequence[int]) -> list[Array]:
    """Return [cells + 2, cells + 2, 6]: point and normal of each shape at its nodes, ready to be `looked_up`.

    Normals are as long as the surface is stretched there, so that what is between a wide part and a narrow edge faces
    almost as the wide part does.
    """
    corners = [_corners(shape, count) for shape, count in zip(shapes, cells, strict=True)]
    # What follows is one calculation for all shapes.
    low_low, low_high, high_low, high_high = np.concatenate(corners, axis=2).swapaxes(0, 1)
    point = (low_low + low_high + high_low + high_high) / 4
    # Metres in u or v, so that the products do not become too small for a float.
    (x, y, z), (right, up, ahead) = ((ends / (2 * _STEP)) for ends in (high_high - low_low, low_high - high_low))
    entries = np.stack([*point, y * ahead - z * up, z * right - x * ahead, x * up - y * right], axis=1)
    ends = np.cumsum([(count + 2) ** 2 for count in cells])[:-1]
    split = zip(np.split(entries, ends), cells, strict=True)
    return [continued(own.reshape(count + 2, count + 2, 6)) for own, count in split]


def _corners(shape: Shape, cells: int) -> Array:
    """Return [3, 4, nodes]: the corners of a small patch around each node."""
    # Poles have no normal; a hair's breadth beside them there is one.
    u, v = nodes(cells), np.clip(nodes(cells), 2 * _STEP, 1 - 2 * _STEP)
    steps = np.array([-_STEP, _STEP])[:, None]
    found = shape.point((u + steps)[:, None, :, None], (v + steps)[None, :, None, :])
    return found.reshape(4, -1, 3).transpose(2, 0, 1)


def _bumped(bump: Bump, points: Array, normals: Array) -> Array:
    """Return normals [n, 3] of a surface that a bump has raised, in other lengths."""
    here = bump(points)
    ways = np.eye(3, dtype=np.float32) * _BUMP_STEP
    slope = np.stack([(bump(points + way) - here) / _BUMP_STEP for way in ways], axis=-1)
    return normals - slope + normals * np.einsum("ij,ij->i", normals, slope)[:, None]


def _lit(mesh: Mesh, places: Array, normals: Array, key: Array) -> Array:
    """Return the share of the key light that reaches each place, [n]."""
    first = LightCamera.towards(key, 1.0)
    throwing = np.stack([surface.coarse for surface in mesh.surfaces if surface.shadows])
    left, top, right, bottom = bounds(throwing, first)
    scale = _SHADOW_PIXELS / max(right - left, bottom - top)
    view = LightCamera(first.axes, scale, (_SHADOW_MARGIN - left * scale, _SHADOW_MARGIN - top * scale))
    width, height = (int(size * scale) + 2 * _SHADOW_MARGIN + 1 for size in (right - left, bottom - top))
    depth = depth_map(mesh, view, width, height).reshape(-1)
    # Grazing places need a little more distance from the map than the bias.
    column, row, own = view.project((places + normals * np.float32(1.2 / scale)).T)
    own -= np.float32(_SHADOW_BIAS)
    np.clip(column, _SHADOW_MARGIN, width - _SHADOW_MARGIN, out=column)
    np.clip(row, _SHADOW_MARGIN, height - _SHADOW_MARGIN, out=row)
    reached = np.zeros(len(own), np.uint8)
    for right_by, down_by in _SHADOW_TAPS:
        at = (row + np.float32(down_by)).astype(np.int32) * np.int32(width)
        at += (column + np.float32(right_by)).astype(np.int32)
        reached += own <= depth.take(at)
    return reached / np.float32(len(_SHADOW_TAPS))


def _occlusion(frame: Frame) -> Array:
    """Return 1 in the open, less where nearer parts surround a place, [n]."""
    mask, depth = np.zeros((2, frame.height * frame.width), np.float32)
    mask[frame.pixels], depth[frame.pixels] = 1, frame.depth
    # Blurs this wide need no more than a quarter of the pixels.
    small_mask, small_depth = (
        cv2.resize(plane.reshape(frame.height, frame.width), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        for plane in (mask, depth)
    )
    rows = np.flatnonzero(small_mask.any(axis=1))
    figure = float(rows[-1] - rows[0] + 1) if len(rows) else 1.0
    open_share = np.ones(len(frame.pixels), np.float32)
    for reach, strength in _OCCLUSION:
        sigma = max(1.0, reach * figure)
        weight = cv2.GaussianBlur(small_mask, (0, 0), sigma)
        near = cv2.GaussianBlur(small_depth, (0, 0), sigma) / np.maximum(weight, 1e-4)
        around = cv2.resize(near, (frame.width, frame.height)).reshape(-1)[frame.pixels]
        behind = np.clip((frame.depth - around) / np.float32(0.03 + 2 * reach), 0, 1)
        open_share *= 1 - np.float32(strength) * behind
    return open_share
