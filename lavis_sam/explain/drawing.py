"""The measures, drawn over the images. Pillow alone; colours say how much, and the number beside a row says of what.

images             as the vision encoder sees them, numbered
adaptive weights     of each image in the context (of the first image, where each has its own)
W stream             what its queries look at in the merged context
gradient             row i, column m: which patches of image m move the semantics of image i; below each the
                     share of ||c_i|| that changes when image m is taken away
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lavis_sam.errors import SamDataError
from lavis_sam.explain.measures import Explanation

CELL = 168
GAP = 10
LABELS = 230
LINE = 19
FONT_SIZE = 14
TITLE_SIZE = 18
# Beyond this many images a table of all pairs is too large to look at; `measures.npz` has everything.
MAX_PAIRS = 8
# Dark violet to yellow, growing lighter all the way, so that it can be read in grey and by the colour-blind.
COLOURS = np.array([[13, 8, 65], [92, 15, 109], [168, 45, 96], [225, 94, 58], [250, 164, 42], [252, 240, 140]], float)
PAPER, INK, FAINT = (255, 255, 255), (28, 28, 34), (110, 110, 120)


@dataclass(frozen=True)
class Row:
    """A row of the overview.

    Attributes:
        title: What it shows.
        notes: Further lines under the title.
        heats: One map [P] for each image that is drawn; None draws the image alone.
        captions: A line under each image.
        brightest: The value of the brightest colour.
    """

    title: str
    notes: tuple[str, ...]
    heats: Sequence[np.ndarray | None]
    captions: Sequence[str]
    brightest: float | None = None


def overlay(image: Image.Image, heat: np.ndarray, *, brightest: float | None = None, size: int = CELL) -> Image.Image:
    """Return an image with a map of its patches over it.

    Args:
        image: RGB; its aspect is not kept, as the vision encoder does not keep it.
        heat: [P], at least 0; P - 1 patches row by row after CLS, which has no place in the image.
        brightest: The value of the brightest colour; the map's own largest by default.
        size: Pixels of a side.

    Raises:
        SamDataError: P - 1 is no square, or a value is negative or no number.
    """
    side = isqrt(max(len(heat) - 1, 0))
    if side == 0 or side * side != len(heat) - 1:
        raise SamDataError(f"a map of {len(heat)} values cannot be drawn; wanted CLS and a square grid of patches")
    if not (np.isfinite(heat).all() and (heat >= 0).all()):
        raise SamDataError("a map holds negative values or no numbers; wanted values of at least 0")
    top = float(heat[1:].max()) if brightest is None else brightest
    grid = (heat[1:] / top if top > 0 else np.zeros(side * side)).reshape(side, side).clip(0, 1)
    # Nearest neighbours: a patch is what the model knows, a smooth hill between two would be made up.
    values = Image.fromarray((grid * 255).round().astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST)
    level = np.asarray(values, dtype=float)[..., None] / 255
    grey = np.asarray(image.convert("L").convert("RGB").resize((size, size)), dtype=float)
    opacity = 0.25 + 0.5 * level
    mixed = (1 - opacity) * grey + opacity * colour(level[..., 0])
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def colour(level: np.ndarray) -> np.ndarray:
    """Return the colours [..., 3] of values from 0 to 1."""
    places = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(level, places, COLOURS[:, channel]) for channel in range(3)], axis=-1)


def draw_overview(explanation: Explanation, images: Sequence[Image.Image]) -> Image.Image:
    """Return all measures of a sample in one image.

    Args:
        images: The sample's N images, RGB.

    Raises:
        SamDataError: The number of images is another one.
    """
    count = len(explanation.semantics_norm)
    if len(images) != count:
        raise SamDataError(f"the explanation is of {count} images, {len(images)} images were given to draw on")
    rows = _rows(explanation, count)
    heights = [CELL + LINE + GAP for _ in rows]
    head = _head(explanation)
    top = 2 * GAP + TITLE_SIZE + LINE * len(head)
    canvas = Image.new("RGB", (LABELS + max(count, 3) * (CELL + GAP) + GAP, top + sum(heights) + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    title, plain = ImageFont.load_default(TITLE_SIZE), ImageFont.load_default(FONT_SIZE)
    draw.text((GAP, GAP), "Which image guides which", INK, title)
    for number, line in enumerate(head):
        draw.text((GAP, GAP + TITLE_SIZE + 6 + number * LINE), line, FAINT, plain)
    for row, height in zip(rows, heights, strict=True):
        _draw_row(canvas, row, images, top)
        top += height
    return canvas


def _head(explanation: Explanation) -> list[str]:
    lines = [f"Instruction: {explanation.instruction[:110]!r}"]
    if not explanation.has_guidance:
        lines.append("Nothing guides: SAM's layers are untrained (Linear_c starts at zero), or no image has a context.")
    return lines


def _rows(explanation: Explanation, count: int) -> list[Row]:
    rows = [Row("images", ("as the encoder sees them",), [None] * count, [str(n + 1) for n in range(count)])]
    weights = explanation.adaptive_weights[0]
    is_own = not (explanation.adaptive_weights == explanation.adaptive_weights[:1]).all()
    note = "context of image 1" if is_own else "one context for all images"
    rows.append(_measure("(1) adaptive weights", (note,), weights, [f"mean {w.mean():.3f}" for w in weights]))
    if explanation.cross_attention is not None:
        attention = explanation.cross_attention.mean(axis=1)
        is_shared = explanation.is_cross_attention_shared
        where = f"cross-attention, layer {explanation.cross_attention_layer}"
        note = "the same for all images" if is_shared else "of each image"
        rows.append(_measure("(2) W stream", (where, note, "to the merged context"), attention, [""] * count))
    if count > MAX_PAIRS:
        return rows
    norms, change, gradient = explanation.semantics_norm, explanation.masked_change, explanation.gradient
    brightest = float(gradient[:, :, 1:].max())
    for i in range(count):
        share = change[i] / norms[i] if norms[i] > 0 else np.zeros(count)
        captions = [f"{m + 1} itself" if m == i else f"without {m + 1}: c changes {share[m]:.1%}" for m in range(count)]
        title = f"(3) what guides {i + 1}"
        notes = ("gradient of its semantics", f"|c| = {norms[i]:.3g}")
        rows.append(Row(title, notes, list(gradient[i]), captions, brightest))
    return rows


def _measure(title: str, notes: tuple[str, ...], heats: np.ndarray, captions: list[str]) -> Row:
    return Row(title, notes, list(heats), captions, float(heats[:, 1:].max()))


def _draw_row(canvas: Image.Image, row: Row, images: Sequence[Image.Image], top: int) -> None:
    draw, plain = ImageDraw.Draw(canvas), ImageFont.load_default(FONT_SIZE)
    draw.text((GAP, top), row.title, INK, plain)
    notes = row.notes if row.brightest is None else (*row.notes, f"brightest: {row.brightest:.2g}")
    for number, line in enumerate(notes, start=1):
        draw.text((GAP, top + number * LINE), line, FAINT, plain)
    if row.brightest is not None:
        _draw_scale(canvas, GAP, top + (len(notes) + 1) * LINE + 4)
    for number, (heat, caption) in enumerate(zip(row.heats, row.captions, strict=True)):
        left = LABELS + number * (CELL + GAP)
        if heat is None:
            shown = images[number].resize((CELL, CELL))
        else:
            shown = overlay(images[number], heat, brightest=row.brightest)
        canvas.paste(shown, (left, top))
        draw.text((left, top + CELL + 1), caption, INK, plain)


def _draw_scale(canvas: Image.Image, left: int, top: int) -> None:
    ramp = colour(np.linspace(0, 1, 120))[None].repeat(8, axis=0)
    canvas.paste(Image.fromarray(ramp.round().astype(np.uint8)), (left, top))
