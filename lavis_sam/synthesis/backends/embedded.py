"""The embedded backends behind the stages' protocols: what runs anywhere, with no GPU, no network and no account."""

from collections.abc import Sequence

import numpy as np

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.backends.u2net import LEAST_SIDE, SIDE, segment
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.phrases import Phrases, with_article
from lavis_sam.synthesis.procedural.compositor import PlacedLayer, compose
from lavis_sam.synthesis.procedural.icons import icon_phrase
from lavis_sam.synthesis.procedural.scenes import has_room, render_background, sample_view, scene_names
from lavis_sam.synthesis.protocols import BackgroundRequest, DescribeRequest, InpaintRequest
from lavis_sam.synthesis.records import Background, Composite, Layer, Rgb, SoftMask

# Poses that a place's description names; all others are "Standing".
_NAMED_POSES = ("walking", "sitting", "waving", "pointing", "cheering")


class U2NetpSegmenter:
    """U2-Netp on onnxruntime: whatever is salient."""

    name = "u2netp"
    version = "2"

    def __init__(self, threads: int = 1, side: int = SIDE) -> None:
        """Set up the network.

        Args:
            threads: One is right where several workers share the machine.
            side: Pixels that the network sees, at most: more find thinner objects in large photographs.

        Raises:
            SamConfigurationError: The side is too small for the network's levels.
        """
        if side < LEAST_SIDE:
            raise SamConfigurationError(f"stages.segment.side: found {side}, wanted {LEAST_SIDE} or more pixels.")
        self._threads, self._side = threads, side

    def segment(self, images: Sequence[Rgb]) -> list[SoftMask]:
        """See `Segmenter.segment`."""
        return [SoftMask(segment(image, self._threads, self._fitting(image))) for image in images]

    def _fitting(self, image: Rgb) -> int:
        """Return the side at which the network sees an image: never enlarged, which would tell it nothing new."""
        return max(LEAST_SIDE, min(self._side, max(image.shape[:2])))


class PanoramaInpainter:
    """Sets the objects into a view of a known scene whose horizon is the composite's, with shadows on its ground."""

    name = "panoramas"
    version = "2"

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[Rgb]:
        """See `Inpainter.inpaint`."""
        return [self._paint(request) for request in requests]

    @staticmethod
    def _paint(request: InpaintRequest) -> Rgb:
        composite = request.composite
        size = composite.canvas.shape[0]
        yaw, view = sample_view(request.rng, request.background.scene, _feet(request.same_scene))
        place = render_background(request.background.scene, yaw, 0.0, view, size, horizon=composite.horizon)
        everybody = [placed(layer, other) for other in request.same_scene for layer in other.layers]
        return compose([placed(layer, composite) for layer in composite.layers], place, everybody)


def _feet(same_scene: Sequence[Composite]) -> list[tuple[float, float]]:
    """Return where the objects of all images of a place stand, as `sample_view` wants it."""
    feet = []
    for composite in same_scene:
        size = composite.canvas.shape[0]
        for layer in composite.layers:
            left, top, width, height = layer.box
            ends = ((left, top + height), (left + width, top + height))
            points = [point for outline in layer.contacts for point in outline] or ends
            feet += [(x / size - 0.5, y / size - composite.horizon) for x, y in points]
    return feet


def placed(layer: Layer, composite: Composite) -> PlacedLayer:
    """Return a layer on a canvas of its own, as the compositor wants it."""
    rgba = np.zeros((*composite.canvas.shape[:2], 4), np.uint8)
    left, top, width, height = layer.box
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(rgba.shape[1], left + width), min(rgba.shape[0], top + height)
    if x0 < x1 and y0 < y1:
        rgba[y0:y1, x0:x1] = layer.rgba[y0 - top : y1 - top, x0 - left : x1 - left]
    return PlacedLayer(rgba, layer.contacts)


class TemplateBackgrounds:
    """Known scenes in many words, if possible one with room for what stands there."""

    name = "templates"
    version = "2"

    def __init__(self, split: str = "train") -> None:
        self._scenes = scene_names(split)

    def write(self, requests: Sequence[BackgroundRequest]) -> list[Background]:
        """See `BackgroundWriter.write`."""
        return [self._write(request) for request in requests]

    def _write(self, request: BackgroundRequest) -> Background:
        free = [name for name in self._scenes if name not in request.avoid] or list(self._scenes)
        mixed = [free[int(place)] for place in request.rng.permutation(len(free))]
        feet = _feet(request.same_scene)
        # Where none has room the inpainter says so.
        scene = request.scene or next((name for name in mixed if has_room(request.rng, name, feet)), mixed[0])
        phrases = Phrases.load("places")
        place = phrases.pick(request.rng, scene, "place", {})
        doing = request.pose.capitalize() if request.pose in _NAMED_POSES else "Standing"
        facts = {"place": place, "Place": place[:1].upper() + place[1:], "Doing": doing}
        text = phrases.pick(request.rng, "background", "person" if request.pose else "still", facts)
        return Background(text, place, scene)


class TemplateDescriber:
    """Known attributes in many words; a source's own caption or label where there are none."""

    name = "templates"
    version = "1"

    def describe(self, requests: Sequence[DescribeRequest]) -> list[str]:
        """See `Describer.describe`.

        Raises:
            SamDataError: Nothing is known of an object but its images.
        """
        return [self._describe(request) for request in requests]

    @staticmethod
    def _describe(request: DescribeRequest) -> str:
        obj = request.object
        if hasattr(obj.recipe, "phrase"):
            return str(obj.recipe.phrase(request.rng))
        if "meaning" in obj.attributes:
            return icon_phrase(request.rng, obj.label)
        if obj.caption or obj.label:
            return obj.caption or with_article(obj.label)
        if KINDS[obj.kind].unnamed:
            return KINDS[obj.kind].unnamed
        raise SamDataError(
            f"{obj.source} {obj.id}: neither attributes nor a caption nor a label; describe it in the source's "
            "manifest, or use a backend for stages.describe that looks at images."
        )
