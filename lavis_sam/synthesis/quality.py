"""Quality control: measurements of masks, composites, images and texts, and the thresholds that judge them.

A measurement has a name and one or more values (one a view, image or object). The configuration gives a name a `min`,
a `max` or both; every value is stored, whether it is judged or not. Nothing here needs a model but `extra_salient`,
which is handed one's answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.records import Alpha, Layer, Mask, Rgb

# What each score says; the configuration's `quality` may hold these names and no others.
SCORES: Mapping[str, str] = {
    "mask.area": "segmented pixels as a share of the source image",
    "mask.largest": "largest connected piece as a share of the mask; less means several objects, or crumbs",
    "mask.holes": "enclosed holes as a share of the mask with its holes filled",
    "mask.border": "share of the source image's border that the mask touches; more means a cut-off object",
    "mask.predicted_iou": "the segmenter's own estimate of its overlap with the truth",
    "mask.stability": "overlap of the masks at a high and a low cut of the soft mask",
    "mask.true_iou": "overlap with the source's exact mask, where it has one",
    "composite.inside": "share of an object's pixels that are in the frame",
    "composite.visible": "visible pixels of an object as a share of the image",
    "composite.overlap": "share of an object that other objects hide",
    "subject.difference": "mean absolute difference (0-255) inside the objects, before they are pasted back",
    "subject.pasted": "the same after pasting back",
    "background.contrast": "standard deviation (0-255) of the background's brightness; less means a flat one",
    "background.fill": "share of the background that still has the fill colour",
    "background.sharpness": "variance of the Laplacian over the background",
    "background.extra_salient": "salient pixels away from the objects as a share of the image",
    "semantic.object_similarity": "CLIP similarity of an object's crops in two images",
    "semantic.background_similarity": "CLIP similarity of background and its description",
    "text.attributes": "share of the true attributes that the answer mentions",
    "text.words": "words of the answer",
    "text.leaked_prompt": "pieces of an instruction to a language model that stand in the answer",
    "text.banned": "banned phrases in the answer",
    "duplicates.distance": "differing bits (of 64) from the nearest earlier sample's images",
}

# Where a soft mask counts as object; the cuts whose agreement is called stability.
THRESHOLD = 0.5
_LOW_CUT, _HIGH_CUT = 0.3, 0.7
# A subject's edge blends into its background by design, so differences are measured this far inside it ...
_EDGE_PIXELS = 3
# ... and the background this far outside.
_MARGIN_PIXELS = 5


@dataclass(frozen=True)
class Limits:
    """A threshold.

    Attributes:
        min: The least value that passes, or None.
        max: The largest value that passes, or None.
    """

    min: float | None = field(default=None)
    max: float | None = field(default=None)

    def violation(self, value: float) -> str | None:
        """Return what a value should have been; None when it passes. NaN never passes a limit."""
        if self.min is not None and not value >= self.min:
            return f"at least {self.min:g}"
        if self.max is not None and not value <= self.max:
            return f"at most {self.max:g}"
        return None


@dataclass(frozen=True)
class Violation:
    """The first score of a sample that is outside its threshold."""

    score: str
    index: int
    value: float
    wanted: str


def first_violation(scores: Mapping[str, Sequence[float]], limits: Mapping[str, Limits]) -> Violation | None:
    """Return the first score outside its threshold, in the order of `SCORES`."""
    for name in SCORES:
        limit = limits.get(name)
        for index, value in enumerate(scores.get(name, ()) if limit else ()):
            wanted = limit.violation(value) if limit else None
            if wanted:
                return Violation(name, index, value, wanted)
    return None


def mask_scores(alpha: Alpha, exact: Alpha | None = None, predicted_iou: float | None = None) -> dict[str, float]:
    """Measure whether a mask is that of one whole object.

    Args:
        alpha: [H, W] soft mask.
        exact: [H, W] the true one, where it is known.
        predicted_iou: The segmenter's own estimate, where it has one.
    """
    mask = alpha >= THRESHOLD
    area = int(mask.sum())
    filled = _fill_holes(mask)
    scores = {
        "mask.area": area / mask.size,
        "mask.largest": _largest_piece(mask) / area if area else 0.0,
        "mask.holes": 1.0 - area / int(filled.sum()) if area else 0.0,
        "mask.border": float(_border(mask).mean()),
        "mask.stability": overlap(alpha >= _HIGH_CUT, alpha >= _LOW_CUT),
    }
    if predicted_iou is not None:
        scores["mask.predicted_iou"] = predicted_iou
    if exact is not None:
        scores["mask.true_iou"] = overlap(mask, exact >= THRESHOLD)
    return scores


def overlap(first: Mask, second: Mask) -> float:
    """Return intersection over union of two masks of one shape; 0 when both are empty."""
    union = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / union) if union else 0.0


def composite_scores(layers: Sequence[Layer]) -> dict[str, tuple[float, ...]]:
    """Measure whether objects are whole, large enough and free of one another: one value a layer, back to front."""
    inside, visible, hidden = [], [], []
    for index, layer in enumerate(layers):
        own = layer.alpha >= THRESHOLD
        placed = int(own.sum())
        whole = int((layer.rgba[..., 3] >= 128).sum())
        seen = own.copy()
        for other in layers[index + 1 :]:
            seen &= other.alpha < THRESHOLD
        inside.append(placed / whole if whole else 0.0)
        visible.append(float(seen.mean()))
        hidden.append(1.0 - int(seen.sum()) / placed if placed else 1.0)
    return {"composite.inside": tuple(inside), "composite.visible": tuple(visible), "composite.overlap": tuple(hidden)}


def subject_difference(before: Rgb, after: Rgb, alpha: Alpha) -> float:
    """Return the mean absolute difference (0-255) of two images [S, S, 3] inside the objects, away from their edges.

    Where an object is too thin to have an inside, it is measured wherever it is opaque.
    """
    opaque = (alpha >= 0.999).astype(np.uint8)
    inside = cv2.erode(opaque, np.ones((2 * _EDGE_PIXELS + 1,) * 2, np.uint8)).astype(bool)
    region = inside if inside.any() else opaque.astype(bool)
    if not region.any():
        return 0.0
    return float(np.abs(before[region].astype(np.int16) - after[region].astype(np.int16)).mean())


def background_scores(image: Rgb, alpha: Alpha, fill: int) -> dict[str, float]:
    """Measure whether there is a place around the objects.

    Args:
        image: [S, S, 3] finished image.
        alpha: [S, S] all objects.
        fill: The grey that the canvas had before inpainting.
    """
    outside = ~_grown(alpha)
    if not outside.any():
        return {"background.contrast": 0.0, "background.fill": 1.0, "background.sharpness": 0.0}
    # As floats: rounding to whole grey levels would look like detail.
    grey = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    unpainted = (np.abs(image[outside].astype(np.int16) - fill) <= 1).all(axis=1)
    return {
        "background.contrast": float(grey[outside].std()),
        "background.fill": float(unpainted.mean()),
        "background.sharpness": float(edges[outside].var()),
    }


def extra_salient(found: Alpha, alpha: Alpha) -> float:
    """Return salient pixels away from the known objects, as a share of the image.

    Args:
        found: [S, S] soft mask of whatever a segmenter finds in the finished image.
        alpha: [S, S] the objects that were put there.
    """
    return float(((found >= THRESHOLD) & ~_grown(alpha)).mean())


def text_scores(
    output: str, required: Iterable[str], prompts: Iterable[str] = (), banned: Iterable[str] = ()
) -> dict[str, float]:
    """Measure whether the answer says what is true, and nothing that it should not.

    Args:
        required: Words and phrases that it has to mention (attributes of the object).
        prompts: Texts that were given to a language model; eight of their words in a row are a leak, unless they name
            what the answer has to mention.
        banned: Phrases that give a language model away ("As an AI").
    """
    wanted = [phrase for phrase in required if phrase]
    return {
        "text.attributes": sum(mentions(output, phrase) for phrase in wanted) / len(wanted) if wanted else 1.0,
        "text.words": float(len(output.split())),
        "text.leaked_prompt": float(sum(_leaks(output, prompt, wanted) for prompt in prompts)),
        "text.banned": float(sum(mentions(output, phrase) for phrase in banned)),
    }


def mentions(text: str, phrase: str) -> bool:
    """Return whether `phrase` stands in `text` as whole words, whatever the case; "red" is not in "shredded"."""
    return f" {_normal(phrase)} " in f" {_normal(text)} "


def _leaks(output: str, prompt: str, allowed: Iterable[str] = (), most: int = 8) -> bool:
    """Return whether `most` words in a row of the prompt, or all of a shorter one, stand in the answer."""
    padded = f" {_normal(prompt)} "
    length = min(most, len(padded.split()))
    for phrase in allowed:
        padded = padded.replace(f" {_normal(phrase)} ", " | ")
    answer = f" {_normal(output)} "
    pieces = [piece.split() for piece in padded.split("|")]
    runs = (piece[start : start + length] for piece in pieces for start in range(len(piece) - length + 1))
    return any(run and f" {' '.join(run)} " in answer for run in runs)


def _normal(text: str) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())


def _largest_piece(mask: Mask) -> int:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return int(stats[1:, cv2.CC_STAT_AREA].max()) if len(stats) > 1 else 0


def _fill_holes(mask: Mask) -> Mask:
    """Return the mask with every background pixel that cannot reach the image's border."""
    padded = np.pad(mask, 1).astype(np.uint8)
    flooded = padded.copy()
    cv2.floodFill(flooded, None, (0, 0), 2)
    return (flooded != 2)[1:-1, 1:-1]


def _border(mask: Mask) -> npt.NDArray[np.bool_]:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def _grown(alpha: Alpha) -> Mask:
    """Return objects with a margin, so that soft edges and contact shadows belong to neither side."""
    kernel = np.ones((2 * _MARGIN_PIXELS + 1,) * 2, np.uint8)
    return cv2.dilate((alpha > 0.01).astype(np.uint8), kernel).astype(bool)
