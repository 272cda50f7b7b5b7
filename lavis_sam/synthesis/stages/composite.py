"""Compositing: the objects of an image on an empty canvas, as the paper's mask images.

Objects of a scene stand on one ground under one camera: its horizon and height are drawn first, and an object's size
then follows from where its feet are. So two objects in an image have sizes that agree, and an inpainting backend that
knows its ground (the panorama compositor) can put them on it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.quality import composite_scores
from lavis_sam.synthesis.records import (
    Actor,
    Alpha,
    Composite,
    Draft,
    ImagePlan,
    Layer,
    Mask,
    Rgb,
    Rgba,
    Segment,
    SourceObject,
)
from lavis_sam.synthesis.stages.base import Failure, one_by_one, with_scores

WHITE = 255
# The camera, as a share of the main object's height and bounded in metres (a child's eyes to a raised arm).
_CAMERA_SHARE, _CAMERA_BOUNDS = (0.65, 1.1), (0.7, 1.7)
_HORIZON = (0.30, 0.50)
# Shares of the canvas that an object may have: too small is unreadable, too large leaves no room. An object beside the
# main one may be smaller, by this factor.
LEAST_HEIGHT, _MOST_HEIGHT, _COMPANION, _WIDTH = 0.30, 0.86, 2 / 3, 0.62
_TOP, _BOTTOM, _SIDE = 0.02, 0.98, 0.01
# Visible pixels of an object, and how far below the horizon its feet are, at least; both as shares of the canvas.
_LEAST_AREA, _LEAST_DROP = 0.013, 0.25
# Layouts tried before the least bad one goes to quality control.
_TRIALS = 160
_ENOUGH_OVERLAP = 0.02
# Pixels of the canvas to one of a trial.
_ROUGH = 4
# An object that has moved between two images is this share of the canvas away from where it was.
LEAST_MOVE = 0.18
# Icons: columns x rows, size as a share of the cell, degrees, jitter as a share of the free room.
_GRID = (3, 2)
_ICON_SIZE, _ICON_ANGLE = (0.72, 0.97), 18.0


class CompositeStage:
    """Lays out every image of a sample."""

    name = "composite"

    def __init__(self, size: int, fill: int, least_height: float = LEAST_HEIGHT) -> None:
        self.size, self.fill, self.least_height = size, fill, least_height

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft | Failure]:
        """Return each draft with its composites and their scores."""
        return one_by_one(self._compose, drafts)

    def _compose(self, draft: Draft) -> Draft:
        composites: list[Composite] = []
        for index, image in enumerate(draft.plan.images):
            heights = [_height(draft.plan.objects[actor.object], actor.view) for actor in image.actors]
            cutouts = [draft.segments[actor.object, actor.view] for actor in image.actors]
            rng = draft.plan.attempt.rng("composite", index)
            if image.layout == "flat":
                made = flat(image.actors[0], cutouts[0], self.size)
            elif image.layout == "grid":
                before = None if image.paired_with is None else composites[image.paired_with]
                made = grid(image, cutouts, rng, self.size, before)
            else:
                paired = None if image.paired_with is None else composites[image.paired_with]
                made = scene(image, cutouts, heights, rng, self.size, self.fill, paired, self.least_height)
            composites.append(made)
            draft = with_scores(draft, composite_scores(made.layers))
        return replace(draft, composites=tuple(composites))


def scene(
    image: ImagePlan,
    cutouts: Sequence[Segment],
    heights: Sequence[float],
    rng: np.random.Generator,
    size: int,
    fill: int,
    paired: Composite | None = None,
    least_height: float = LEAST_HEIGHT,
) -> Composite:
    """Return objects standing in a place.

    Args:
        image: Who appears; the first actor is what the camera is set up for.
        cutouts: The segment of each actor.
        heights: Metres of each actor.
        paired: The image whose camera and places this one keeps.
        least_height: Share of the canvas that the first actor has at least, where its shape allows it.
    """
    best: list[_Spot] = []
    least_fault = math.inf
    # One camera for all layouts that are tried, so that the best one has its own.
    camera = _Camera(paired.horizon, paired.camera_height) if paired else _Camera.draw(rng, heights[0])
    for _ in range(_TRIALS):
        spots = []
        for actor, cutout, height in zip(image.actors, cutouts, heights, strict=True):
            kept = _kept_layer(actor, paired)
            least = least_height * (1 if actor.role == "main" else _COMPANION)
            if kept and _is_same(kept.actor, actor):
                spots.append(_Spot(actor, cutout, kept.box, kept))
            elif kept:
                spots.append(_Spot(actor, cutout, _replacing(kept, cutout.rgba, height, camera, size)))
            else:
                spots.append(_Spot(actor, cutout, _stand(cutout.rgba, height, least, camera, rng, size)))
        # Who stands nearer hides who stands further away; feet lower in the image are nearer.
        spots.sort(key=lambda spot: spot.box[1] + spot.box[3])
        fault = _most_hidden(spots, size) + (0.0 if _moved_enough(spots, paired, size) else 1.0)
        if fault < least_fault:
            best, least_fault = spots, fault
        if least_fault <= _ENOUGH_OVERLAP:
            break
    return flatten([spot.layer(size) for spot in best], size, size, fill, camera.horizon, camera.height)


def grid(
    image: ImagePlan, cutouts: Sequence[Segment], rng: np.random.Generator, size: int, paired: Composite | None = None
) -> Composite:
    """Return icons on white, in a jittered grid; each has its own size and angle.

    Args:
        cutouts: The segment of each.
        paired: The image whose places this one keeps, where its actors say so.

    Raises:
        SamDataError: More icons than free cells.
    """
    columns, rows = _GRID
    cell_width, cell_height = size / columns, size / rows
    side = min(cell_width, cell_height)
    # A cell that was left stays empty, or what moved could move to where it was.
    taken = {_cell(layer, size) for layer in paired.layers} if paired else set()
    free = [int(cell) for cell in rng.permutation(columns * rows) if int(cell) not in taken]
    new = sum(_kept_layer(actor, paired) is None for actor in image.actors)
    if new > len(free):
        raise SamDataError(f"{new} icons for {len(free)} free cells of a grid of {columns * rows}")
    layers = []
    for actor, cutout in zip(image.actors, cutouts, strict=True):
        longest = float(rng.uniform(*_ICON_SIZE)) * side
        angle = float(rng.uniform(-_ICON_ANGLE, _ICON_ANGLE))
        shift = rng.uniform(-0.5, 0.5, 2)
        kept = _kept_layer(actor, paired)
        if kept and _is_same(kept.actor, actor):
            layers.append(replace(kept, actor=actor))
            continue
        turned = turn(cutout.rgba, angle)
        height, width = turned.shape[:2]
        scale = longest / max(height, width)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        cell = _cell(kept, size) if kept else free.pop()
        room = np.array([cell_width - width, cell_height - height])
        corner = np.array([cell % columns * cell_width, cell // columns * cell_height]) + room * (0.5 + shift * 0.8)
        layers.append(place(actor, Segment(turned), (int(corner[0]), int(corner[1]), width, height), size))
    return flatten(layers, size, size, WHITE, 0.5, 0.0)


def flat(actor: Actor, cutout: Segment, size: int) -> Composite:
    """Return one image as it is, its longer side S pixels long."""
    height, width = cutout.rgba.shape[:2]
    scale = size / max(height, width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    layer = place(actor, cutout, (0, 0, width, height), width, height)
    return flatten([layer], width, height, WHITE, 0.5, 0.0)


def place(
    actor: Actor, cutout: Segment, box: tuple[int, int, int, int], width: int, height: int | None = None
) -> Layer:
    """Return an object at its size and place on a canvas of `width` x `height` (square by default) pixels.

    Args:
        box: (left, top, width, height) in pixels; may reach over the edge.
    """
    rgba = _resized(cutout.rgba, box[2], box[3])
    alpha = np.zeros((height or width, width), np.float32)
    target, origin = _common(box, alpha.shape)
    alpha[target] = rgba[origin][..., 3] / np.float32(255)
    x_scale, y_scale = box[2] / cutout.rgba.shape[1], box[3] / cutout.rgba.shape[0]
    contacts = tuple(
        tuple((box[0] + x * x_scale, box[1] + y * y_scale) for x, y in outline) for outline in cutout.contacts
    )
    return Layer(actor, rgba, box, alpha, contacts)


def flatten(
    layers: Sequence[Layer], width: int, height: int, fill: int, horizon: float, camera_height: float
) -> Composite:
    """Return layers laid over one another (Porter and Duff's "over"), and over the fill."""
    colour = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width, 1), np.float32)
    for layer in layers:
        target, origin = _common(layer.box, (height, width))
        own = layer.rgba[origin].astype(np.float32)
        over = own[..., 3:] / 255
        colour[target] = own[..., :3] * over + colour[target] * (1 - over)
        alpha[target] = over + alpha[target] * (1 - over)
    straight = np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha > 0)
    canvas = colour + fill * (1 - alpha)
    return Composite(_bytes(straight), alpha[..., 0], _bytes(canvas), tuple(layers), horizon, camera_height)


def over(colour: Rgb, alpha: Alpha, background: Rgb) -> Rgb:
    """Return objects pasted over an image, all [S, S, …]."""
    share = alpha[..., None]
    return _bytes(colour * share + background * (1 - share))


def turn(cutout: Rgba, degrees: float) -> Rgba:
    """Return the object turned about its middle, cropped to what is visible."""
    turned = np.asarray(Image.fromarray(cutout).rotate(degrees, Image.Resampling.BICUBIC, expand=True))
    seen = cv2.boundingRect((turned[..., 3] > 1).astype(np.uint8))
    left, top, width, height = seen
    return turned[top : top + height, left : left + width] if width else turned


@dataclass(frozen=True)
class _Spot:
    """Who may stand where; trying one costs nearly nothing, making its layer does.

    Attributes:
        box: (left, top, width, height) in pixels.
        kept: The paired image's layer, where nothing about it changes.
    """

    actor: Actor
    cutout: Segment
    box: tuple[int, int, int, int]
    kept: Layer | None = None

    def layer(self, size: int) -> Layer:
        """Return the object at its place."""
        return replace(self.kept, actor=self.actor) if self.kept else place(self.actor, self.cutout, self.box, size)

    def mask(self, size: int) -> Mask:
        """Return [size / _ROUGH, size / _ROUGH] roughly where it is."""
        left, top, width, height = (round(length / _ROUGH) for length in self.box)
        small = cv2.resize(self.cutout.rgba[..., 3], (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA)
        mask = np.zeros((size // _ROUGH, size // _ROUGH), np.bool_)
        target, origin = _common((left, top, *small.shape[::-1]), mask.shape)
        mask[target] = small[origin] >= 128
        return mask


def _most_hidden(spots: Sequence[_Spot], size: int) -> float:
    """Return the largest share of an object that others hide; spots are sorted back to front."""
    covered = np.zeros((size // _ROUGH, size // _ROUGH), np.bool_)
    most = 0.0
    for spot in reversed(spots):
        mask = spot.mask(size)
        most = max(most, float((mask & covered).sum()) / max(1, int(mask.sum())))
        covered |= mask
    return most


@dataclass(frozen=True)
class _Camera:
    """Looking straight ahead.

    Attributes:
        horizon: Share of the canvas from the top.
        height: Metres above the ground.
    """

    horizon: float
    height: float

    @classmethod
    def draw(cls, rng: np.random.Generator, main_height: float) -> "_Camera":
        share = float(rng.uniform(*_CAMERA_SHARE))
        return cls(float(rng.uniform(*_HORIZON)), float(np.clip(main_height * share, *_CAMERA_BOUNDS)))

    def feet(self, share: float, metres: float) -> float:
        """Return where the feet of an object are that is `metres` high and takes `share` of the canvas."""
        return self.horizon + share * self.height / metres


def _stand(
    cutout: Rgba, metres: float, least: float, camera: _Camera, rng: np.random.Generator, size: int
) -> tuple[int, int, int, int]:
    """Return a box on the ground; its size is one that the camera sees there."""
    aspect = cutout.shape[1] / cutout.shape[0]
    # Wide objects (a sofa) are limited by their width, which also lowers the least height.
    high = min(_MOST_HEIGHT, _WIDTH / aspect)
    low = min(least, 0.7 * high)
    # Thin objects (a lamp) need more height to be seen at all ...
    low = max(low, math.sqrt(_LEAST_AREA / (aspect * float((cutout[..., 3] >= 128).mean()) + 1e-6)))
    # ... and feet near the horizon would stand behind the walls of most places.
    low = max(low, _LEAST_DROP * metres / camera.height)
    # Feet above the bottom edge, head below the top edge.
    high = min(high, (_BOTTOM - camera.horizon) * metres / camera.height)
    rise = 1 - camera.height / metres
    if rise > 0:
        high = min(high, (camera.horizon - _TOP) / rise)
    share = float(rng.uniform(min(low, high), high))
    feet = camera.feet(share, metres)
    height, width = max(2, round(share * size)), max(2, round(share * size * aspect))
    room = size * (1 - 2 * _SIDE) - width
    left = size * _SIDE + float(rng.uniform(0, 1)) * room
    return round(left), round(feet * size) - height, width, height


def _moved_enough(spots: Sequence[_Spot], paired: Composite | None, size: int) -> bool:
    """Return whether everything that was in the paired image and has a new place is well away from its old one."""
    if paired is None:
        return True
    before = {layer.actor.object: layer.box for layer in paired.layers}
    for spot in spots:
        old = before.get(spot.actor.object)
        if spot.actor.place_of is not None or old is None:
            continue
        if abs(spot.box[0] + spot.box[2] / 2 - old[0] - old[2] / 2) < LEAST_MOVE * size:
            return False
    return True


def _is_same(before: Actor, after: Actor) -> bool:
    return (before.object, before.view) == (after.object, after.view)


def _kept_layer(actor: Actor, paired: Composite | None) -> Layer | None:
    """Return the paired image's layer whose place the actor has."""
    if paired is None or actor.place_of is None:
        return None
    return next((layer for layer in paired.layers if layer.actor.object == actor.place_of), None)


def _height(obj: SourceObject, view: int) -> float:
    """Return the metres of an object as a view shows it."""
    return obj.views[view].height or obj.height


def _replacing(kept: Layer, cutout: Rgba, metres: float, camera: _Camera, size: int) -> tuple[int, int, int, int]:
    """Return the box of what stands where the old object stood, as large as the camera sees it there."""
    left, top, width, height = kept.box
    feet = top + height
    own_height = max(2, round((feet - camera.horizon * size) * metres / camera.height))
    own_width = max(2, round(own_height * cutout.shape[1] / cutout.shape[0]))
    margin = round(size * _SIDE)
    middle = left + (width - own_width) // 2
    return max(margin, min(middle, size - margin - own_width)), feet - own_height, own_width, own_height


def _cell(layer: Layer, size: int) -> int:
    columns, rows = _GRID
    left, top, width, height = layer.box
    return int((left + width / 2) * columns / size) + columns * int((top + height / 2) * rows / size)


def _common(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of a box that is on the canvas: slices of the canvas, and of the box."""
    left, top, width, height = box
    x0, x1 = max(0, left), min(shape[1], left + width)
    y0, y1 = max(0, top), min(shape[0], top + height)
    x1, y1 = max(x0, x1), max(y0, y1)
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _resized(rgba: Rgba, width: int, height: int) -> Rgba:
    """Return [height, width, 4]; colours count by their alpha, filters without negative lobes keep off halos."""
    shrinks = width * height < rgba.shape[0] * rgba.shape[1]
    alpha = rgba[..., 3:].astype(np.float32) / 255
    weighted = np.dstack([rgba[..., :3] * alpha, alpha])
    resized = cv2.resize(weighted, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    share = resized[..., 3:]
    colour = np.divide(resized[..., :3], share, out=np.zeros_like(resized[..., :3]), where=share > 0)
    return _bytes(np.dstack([colour, share * 255]))


def _bytes(values: np.ndarray) -> Rgb:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
