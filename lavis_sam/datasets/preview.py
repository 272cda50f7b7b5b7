"""A contact sheet of a data set: one HTML page with small images, prompts and answers, that needs nothing else."""

import html
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lavis_sam.errors import SamDataError
from lavis_sam.pages import document, inline_image

if TYPE_CHECKING:
    from lavis_sam.datasets.multi_image import MultiImageDataset
    from lavis_sam.datasets.stored import StoredSamples

# Long enough to recognise what is on an image; a page of 50 pairs has about 1 MB.
THUMBNAIL_SIDE = 220
_QUALITY = 80
# A text that went wrong must not fill the page.
_MOST_CHARACTERS = 2000

_STYLE = f"""
:root {{ color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }}
body {{ color: CanvasText; max-width: 1200px; }}
article {{ border-top: 1px solid var(--line); padding: 1rem 0; }}
.images {{ display: flex; flex-wrap: wrap; gap: .6rem; }}
figure {{ margin: 0; }}
img {{ display: block; border-radius: 4px; }}
figcaption, .id {{ font-size: .8rem; opacity: .6; overflow-wrap: anywhere; }}
figcaption {{ max-width: {THUMBNAIL_SIDE}px; }}
dl {{ display: grid; grid-template-columns: max-content minmax(0, 75ch); gap: .2rem 1rem; margin: .6rem 0 0; }}
dt {{ font-weight: 600; opacity: .6; }}
dd {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }}
.broken {{ border: 1px solid #c33; border-radius: 4px; color: #c33; padding: .5rem .8rem; overflow-wrap: anywhere; }}
"""


def chosen_samples(count: int, total: int, seed: int | None) -> list[int]:
    """Return which samples a page shows, in their order: the first ones, or, with a seed, some at random."""
    if seed is None:
        return list(range(min(count, total)))
    import torch

    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    return sorted(order[:count].tolist())


def contact_sheet(dataset: "MultiImageDataset | StoredSamples", indices: Sequence[int], title: str) -> str:
    """Return the page.

    Texts are escaped and images are inside it, so it can be sent to somebody and loads nothing from anywhere. An
    image that cannot be read is shown as the message that says so.
    """
    articles = "\n".join(_article(dataset, index) for index in indices)
    return document(title, _STYLE, f"<p>{len(indices)} of {len(dataset)} samples</p>\n{articles}\n")


def _article(dataset: "MultiImageDataset | StoredSamples", index: int) -> str:
    sample = dataset.annotation[index]
    texts = [("prompt", sample.instruction), ("answer", sample.output)]
    if sample.references != (sample.output,):
        texts += [(f"reference {number}", text) for number, text in enumerate(sample.references, start=1)]
    lines = [f"<dt>{name}</dt><dd>{html.escape(_shortened(text))}</dd>" for name, text in texts]
    return "\n".join(
        [
            "<article>",
            f'<div class="id">{html.escape(str(sample.id))}</div>',
            f'<div class="images">{"".join(_figures(dataset, index))}</div>',
            f"<dl>{''.join(lines)}</dl>",
            "</article>",
        ]
    )


def _figures(dataset: "MultiImageDataset | StoredSamples", index: int) -> Iterator[str]:
    sample = dataset.annotation[index]
    try:
        images = dataset.images(index)
    except SamDataError as error:
        yield f'<div class="broken">{html.escape(str(error))}</div>'
        return
    for number, (name, image) in enumerate(zip(sample.images, images, strict=True), start=1):
        small, buffer = image.copy(), io.BytesIO()
        small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        small.save(buffer, "JPEG", quality=_QUALITY)
        caption = f"{number}: {html.escape(name)} ({image.width} × {image.height})"
        yield f"<figure>{inline_image(buffer.getvalue(), 'jpeg', name)}<figcaption>{caption}</figcaption></figure>"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + f"… ({len(text)} characters)"
