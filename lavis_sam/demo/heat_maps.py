"""Which patches of the other images guided each image, as a part of an HTML page; numbers, names and PNG data alone."""

import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from lavis_sam.explain.drawing import MAX_PAIRS, overlay
from lavis_sam.explain.measures import Explanation
from lavis_sam.pages import inline_image

SIDE = 168


def heat_maps(explanation: Explanation, images: Sequence[Image.Image], names: Sequence[str]) -> str:
    """Draw the measures of `lavis-sam explain` over the images.

    Args:
        images: The sample's N images, RGB.
        names: What the page calls them.
    """
    count = len(images)
    if count == 1:
        return "<p>There is one image, so that no other one guides it.</p>"
    if not explanation.has_guidance:
        return "<p>Nothing guides: SAM's layers are untrained, or no image has a context.</p>"
    weights = explanation.adaptive_weights[0]
    top = float(weights[:, 1:].max())
    captions = [f"{_title(m, names)}: mean {weights[m].mean():.3f}" for m in range(count)]
    parts = [
        "<h3>Weights in the context</h3><p>How much each patch of each image enters the context that guides (that of "
        "image 1, where each image has its own).</p>",
        _row(_figure(images[m], weights[m], top, captions[m]) for m in range(count)),
    ]
    if count > MAX_PAIRS:
        return "".join(parts) + f"<p>Pairs are drawn for up to {MAX_PAIRS} images; `lavis-sam explain` has all.</p>"
    return "".join([*parts, *(_guided(explanation, images, names, i) for i in range(count))])


def _guided(explanation: Explanation, images: Sequence[Image.Image], names: Sequence[str], i: int) -> str:
    """Return what guided image i: the gradient by patch of each other image, and what would change without it."""
    others = ~np.eye(len(images), dtype=bool)
    top = float(explanation.gradient[others][:, 1:].max())  # one scale for all: what is brighter guided more
    norm, change = explanation.semantics_norm[i], explanation.masked_change[i]
    figures = [
        _figure(
            image,
            explanation.gradient[i, m],
            top,
            f"{_title(m, names)}: without it {change[m] / norm if norm else 0:.1%} would change",
        )
        for m, image in enumerate(images)
        if m != i
    ]
    return f"<h3>What guided {_title(i, names)}</h3>{_row(figures)}"


def _title(place: int, names: Sequence[str]) -> str:
    return f"image {place + 1} ({html.escape(names[place])})"


def _figure(image: Image.Image, heat: np.ndarray, brightest: float, caption: str) -> str:
    buffer = io.BytesIO()
    overlay(image, heat, brightest=brightest, size=SIDE).save(buffer, format="PNG")
    drawn = inline_image(buffer.getvalue(), "png", html.unescape(caption))
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def _row(figures: Iterable[str]) -> str:
    return f'<div class="heat-row">{"".join(figures)}</div>'
