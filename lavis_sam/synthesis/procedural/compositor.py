"""The embedded inpainting backend: sets subjects into a view of a place, with shadows on its ground.

The ground is the plane that the view's horizon defines; distances on it are measured in camera heights. A subject
stands there as an upright image at the depth of its feet. Two shadows fall:

    contact   dark where feet and legs touch, softly dark on the ground between them
    cast      the subject's silhouette, projected along the light onto the ground, softer with distance from the feet

The upright image is flat: of an object with depth, a shadow towards the viewer begins apart from what stands behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.procedural.render.arrays import Array, floats
from lavis_sam.synthesis.procedural.scenes import Direction, SceneView
from lavis_sam.synthesis.records import Polygon, Rgb, Rgba

Plane = Array  # [S, S]

# Darkness of each shadow at its darkest.
_TOUCH, _UNDER, _CAST, _CAST_SOFT = 0.80, 0.62, 0.58, 0.36
# A light lower than this would throw shadows out of the image (rise over run).
_LOWEST_LIGHT = 0.75
# The least share of a light's run that goes towards or away from the viewer: a silhouette seen edge-on has no shadow.
_LEAST_AWAY = 0.45
# Sharpness of the cast shadow by height above the feet, in shares of the subject's height: (height, blur).
_PENUMBRA = ((0.0, 0.004), (0.25, 0.018), (0.6, 0.045), (1.1, 0.085))
_SOLID = 0.5


@dataclass(frozen=True)
class PlacedLayer:
    """A subject on the canvas of an image.

    Attributes:
        rgba: [S, S, 4] the subject at its place, nothing else.
        contacts: Outlines of what touches the ground in canvas pixels; () lets the compositor find it.
    """

    rgba: Rgba
    contacts: tuple[Polygon, ...] = ()


def compose(layers: Sequence[PlacedLayer], view: SceneView, fitted_to: Sequence[PlacedLayer] | None = None) -> Rgb:
    """Return subjects in a place.

    Args:
        layers: Back to front.
        fitted_to: Subjects that the view's brightness is fitted to; the layers themselves by default. Two images of
            one place have the same ones, so that nothing but the subjects differs between them.

    Returns:
        [S, S, 3]; opaque pixels of the subjects have exactly their own colours.

    Raises:
        SamDataError: Sizes differ.
    """
    size = view.rgb.shape[:2]
    for layer in layers:
        if layer.rgba.shape != (*size, 4):
            raise SamDataError(f"compositor: found a layer of {layer.rgba.shape}, wanted {(*size, 4)}.")
    image: Array = harmonised(view.rgb, layers if fitted_to is None else fitted_to).astype(np.float32)
    shade: Plane = np.zeros(size, np.float32)
    for layer in layers:
        # Shadows that overlap do not add up to black.
        shade = 1 - (1 - shade) * (1 - ground_shadow(layer, view))
    image *= (1 - shade)[..., None] + shade[..., None] * _tint(view)
    for layer in layers:
        share = layer.rgba[..., 3:].astype(np.float32) / 255
        image = image * (1 - share) + layer.rgba[..., :3] * share
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def harmonised(rgb: Rgb, layers: Sequence[PlacedLayer]) -> Rgb:
    """Return the view a little brighter or darker, towards the subjects; the subjects themselves stay as they are."""
    solid = [layer.rgba[layer.rgba[..., 3] > 200][:, :3] for layer in layers]
    pixels = np.concatenate(solid) if solid else np.zeros((0, 3), np.uint8)
    if not len(pixels):
        return rgb
    gain = (max(float(pixels.mean()), 1.0) / max(float(rgb.mean()), 1.0)) ** 0.18
    gain = float(np.clip(gain, 0.90, 1.12))
    # A gamma keeps black black and white white.
    curve = 255 * (np.arange(256) / 255) ** (1 / gain)
    return cv2.LUT(rgb, np.clip(np.rint(curve), 0, 255).astype(np.uint8))  # type: ignore[return-value]


def ground_shadow(layer: PlacedLayer, view: SceneView) -> Plane:
    """Return how much light a subject takes from the ground, [S, S] in [0, 1); zero above the horizon."""
    alpha = layer.rgba[..., 3].astype(np.float32) / 255
    feet = find_feet(layer, view)
    if feet is None:
        return np.zeros(alpha.shape, np.float32)
    line, polygons = feet
    touching = _contact_shadow(polygons, alpha, view)
    cast = _cast_shadow(alpha, line, view)
    return np.clip(1 - (1 - touching) * (1 - cast), 0, 0.95).astype(np.float32)


def find_feet(layer: PlacedLayer, view: SceneView) -> tuple[float, tuple[Polygon, ...]] | None:
    """Return the row where a subject stands and its contact outlines: its own, or else estimated from its silhouette.

    A column of the silhouette touches the ground when its lowest pixel is not further away, as ground, than the subject
    is wide. None when nothing of the subject is on the ground.
    """
    solid = layer.rgba[..., 3] >= 128
    columns = np.nonzero(solid.any(axis=0))[0]
    if not len(columns):
        return None
    size = solid.shape[0]
    lowest = size - 1 - np.argmax(solid[::-1, columns], axis=0) + 1.0
    front = float(lowest.max())
    if front <= view.horizon_row + 2:
        return None
    if layer.contacts:
        return max(y for outline in layer.contacts for _, y in outline), layer.contacts
    depth = view.focal / np.maximum(lowest - view.horizon_row, 0.5)
    nearest = float(depth.min())
    wide = (columns[-1] - columns[0]) * nearest / view.focal
    standing = depth - nearest <= 0.9 * wide
    runs = _runs(columns[standing], lowest[standing], max(2.0, 0.012 * size))
    return front, tuple(_ellipse(left, right, row, view) for left, right, row in runs)


def _runs(columns: npt.NDArray[np.int64], rows: Plane, tolerance: float) -> list[tuple[float, float, float]]:
    """Return neighbouring columns whose lowest pixels are at a local low: (left, right, row)."""
    runs: list[tuple[float, float, float]] = []
    start = 0
    for index in range(1, len(columns) + 1):
        ends = (
            index == len(columns)
            or columns[index] > columns[index - 1] + 1
            or abs(rows[index] - rows[index - 1]) > tolerance
        )
        if ends:
            part = slice(start, index)
            row = float(rows[part].max())
            close = columns[part][rows[part] >= row - 3 * tolerance]
            runs.append((float(close[0]), float(close[-1] + 1), row))
            start = index
    return runs


def _ellipse(left: float, right: float, row: float, view: SceneView) -> Polygon:
    """Return a patch of ground under a run of columns, seen from the camera."""
    middle, half = (left + right) / 2, max((right - left) / 2, 2.0)
    flat = half * min(1.0, (row - view.horizon_row) / view.focal) * 0.6
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    return tuple((float(middle + half * np.cos(t)), float(row - flat * 0.7 + flat * np.sin(t))) for t in angles)


def _contact_shadow(polygons: Sequence[Polygon], alpha: Plane, view: SceneView) -> Plane:
    size = alpha.shape[0]
    points = floats([point for polygon in polygons for point in polygon])
    hull: Array = cv2.convexHull(points)[:, 0]
    wide = float(np.ptp(hull[:, 0]))
    # The ground is seen at a low angle: what is round on it is flat in the image.
    flat = float(np.clip((points[:, 1].max() - view.horizon_row) / view.focal, 0.15, 0.9))
    touch: Plane = np.zeros((size, size), np.float32)
    under: Plane = np.zeros_like(touch)
    for polygon in polygons:
        cv2.fillPoly(touch, [_fixed(floats(polygon))], 1.0, lineType=cv2.LINE_AA, shift=4)
    cv2.fillPoly(under, [_fixed(hull)], 1.0, lineType=cv2.LINE_AA, shift=4)
    near = max(1.2, 0.012 * size * (wide / size) ** 0.5)
    touch = np.minimum(1, 1.35 * cv2.GaussianBlur(touch, (0, 0), near * 1.6, sigmaY=near * max(flat, 0.4) * 1.6))
    far = max(2.0, 0.06 * wide)
    under = cv2.GaussianBlur(under, (0, 0), far, sigmaY=max(1.5, far * flat))
    shade = 1 - (1 - _TOUCH * touch) * (1 - _UNDER * under)
    return shade * _below(view, size)


def _cast_shadow(alpha: Plane, feet: float, view: SceneView) -> Plane:
    """Return the silhouette on the ground: each place there looks towards the light and finds the subject or not."""
    size = alpha.shape[0]
    x_run, away = _slant(view.light)
    middle, horizon, focal = size / 2, view.horizon_row, view.focal
    # There is no ground above the horizon, and no shadow.
    first = int(np.clip(np.floor(horizon), 0, size))
    rows = np.arange(first, size, dtype=np.float32)[:, None] + 0.5
    columns = np.arange(size, dtype=np.float32)[None, :] + 0.5
    depth = focal / np.maximum(rows - horizon, 0.5)  # in camera heights
    own = focal / max(feet - horizon, 1.0)
    height = (depth - own) / away  # of the point of the subject whose shadow falls in this row
    across = (columns - middle) * depth / focal - x_run * height
    source_x = middle + across * focal / own
    source_y = np.broadcast_to(feet - height * focal / own, source_x.shape)
    top = float(np.nonzero((alpha > _SOLID).any(axis=1))[0][0])
    tall = max(feet - top, 1.0)
    share = (height * (focal / own) / tall)[:, 0]
    shade, soft = np.zeros_like(alpha), 1 - view.light_strength
    for level, (_, blur) in enumerate(_PENUMBRA):
        weight = _hat(share, level)
        reached = np.nonzero(weight)[0]
        if len(reached):
            near = slice(reached[0], reached[-1] + 1)
            plane = _blurred_at(alpha, max(0.6, blur * (1 + 2.5 * soft) * tall), source_x[near], source_y[near])
            shade[first:][near] += plane * weight[near, None]
    darkness = _CAST_SOFT + (_CAST - _CAST_SOFT) * view.light_strength
    # The far end fades: light from all sides fills it.
    fade = np.clip(1.15 - share * (0.55 + 0.75 * soft), 0, 1) * (share >= 0) * darkness
    shade[first:] *= fade[:, None]
    return (shade * _below(view, size)).astype(np.float32)


def _blurred_at(plane: Plane, sigma: float, x: Array, y: Array) -> Plane:
    """Return a plane, blurred by `sigma` pixels, at places (x, y), whose shape the result has."""
    # What is blurred that much has no detail that fewer pixels would not show.
    step = max(1, min(8, int(sigma / 2)))
    small = cv2.resize(plane, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA) if step > 1 else plane
    blurred = cv2.GaussianBlur(small, (0, 0), sigma / step)
    down, right = (full / reduced for full, reduced in zip(plane.shape, small.shape, strict=True))
    maps = ((x / right - 0.5).astype(np.float32), (y / down - 0.5).astype(np.float32))
    return cv2.remap(blurred, *maps, cv2.INTER_LINEAR)


def _hat(share: Array, index: int) -> Array:
    """Return the weight of one level of blur: 1 at its own height, falling to 0 at its neighbours."""
    levels = [level for level, _ in _PENUMBRA]
    weights = np.zeros(len(levels), np.float32)
    weights[index] = 1
    return np.interp(share, levels, weights).astype(np.float32)


def _slant(light: Direction) -> tuple[float, float]:
    """Return by how much a shadow goes to the right, and away from the viewer, for each unit of height."""
    x, y, z = light
    run = float(np.hypot(x, z))
    rise = max(y, _LOWEST_LIGHT * run, 1e-3)
    to_right, away = -x / rise, z / rise
    # Lamps overhead throw shadows too, close to the feet and rather behind: in front of an object with depth the shadow
    # of its flat image would lie apart from it.
    least = max(_LEAST_AWAY * float(np.hypot(to_right, away)), 0.22)
    return to_right, away if abs(away) >= least else least


def _tint(view: SceneView) -> npt.NDArray[np.float32]:
    """Return what a full shadow multiplies the ground with: a little sky outdoors, a little warmth indoors."""
    return floats([0.10, 0.09, 0.08]) if view.indoors else floats([0.07, 0.09, 0.13])


def _below(view: SceneView, size: int) -> Plane:
    """Return 1 on the ground, 0 above the horizon."""
    rows = np.arange(size, dtype=np.float32)[:, None] + 0.5
    return np.clip((rows - view.horizon_row) / (0.02 * size), 0, 1).astype(np.float32)


def _fixed(points: Array) -> npt.NDArray[np.int32]:
    """Return pixel coordinates with four binary places, as OpenCV's `shift=4` wants them."""
    return np.rint(np.asarray(points) * 16).astype(np.int32).reshape(-1, 1, 2)
