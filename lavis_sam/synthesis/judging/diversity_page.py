"""The diversity of data sets as one HTML page."""

import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from lavis_sam.errors import SamDataError
from lavis_sam.pages import document, inline_image, table
from lavis_sam.synthesis.charts import histogram
from lavis_sam.synthesis.judging.diversity import NEAR, OTHER_CONTEXT
from lavis_sam.synthesis.judging.sets_table import automation
from lavis_sam.synthesis.variety import variety_charts

# Id of a sample -> its images.
Reader = Callable[[str], Sequence[Image.Image]]

_THUMBNAIL = 120
_PAIRS_SHOWN = 4
_STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption, .muted { font-size: .85rem; color: #555; } p { overflow-wrap: anywhere; }
.pair { border: 1px solid #ddd; border-radius: 6px; padding: .6rem; margin: .6rem 0; }
img { margin-right: 4px; max-width: 100%; }
"""


def diversity_page(measured: Sequence[Mapping[str, Any]], readers: Mapping[str, Reader]) -> str:
    """Return the page.

    Args:
        measured: What `diversity` found of each data set.
        readers: Name of a data set -> what reads its images.
    """
    parts = [part for found in measured for part in _parts(found, readers[found["name"]])]
    return document("Diversity of " + ", ".join(found["name"] for found in measured), _STYLE, "".join(parts))


def _parts(found: Mapping[str, Any], read: Reader) -> Sequence[str]:
    unreadable = f"; {len(found['unreadable'])} samples have images that cannot be read" if found["unreadable"] else ""
    return [
        f"<h2>{html.escape(found['name'])}</h2>",
        f"<p>{found['samples']:,} samples, {found['compared']:,} of them compared{unreadable}. Automation: "
        f"{html.escape(automation(found))}.</p>",
        _texts(found),
        "<h3>Contexts</h3>" + _contexts(found["contexts"]),
        "<h3>Most alike</h3>" + _alike(found, read),
        "" if found["synthesis"] is None else variety_charts(found["synthesis"]),
        "<h3>Most common instructions</h3>" + table(["", "samples"], [*found["instructions"]["most_common"].items()]),
    ]


def _texts(found: Mapping[str, Any]) -> str:
    rows = (
        [
            key,
            *(
                f"{found[key][name]:,}"
                for name in ("different", "words", "different_words", "different_pairs_of_words")
            ),
            "–" if found[key]["type_token_ratio"] is None else f"{found[key]['type_token_ratio']:.3f}",
            f"{found[key]['median_words']:g}",
        ]
        for key in ("answers", "instructions")
    )
    heads = ["", "different", "words", "different words", "different pairs", "type-token ratio", "words of one, median"]
    return table(heads, rows) + "<p class=muted>Type-token ratio: different words in 500 words, on average.</p>"


def _contexts(found: Mapping[str, Any]) -> str:
    if not found["samples"]:
        return "<p>No sample with two images was compared.</p>"
    values = [float(bits) for bits, count in found["bits"].items() for _ in range(count)]
    return (
        f"<figure>{histogram(values, [], OTHER_CONTEXT, None)}<figcaption>Differing bits (of 64) of the two images of "
        f"a sample that are most alike; {found['distinct']:.0%} have at least {OTHER_CONTEXT}.</figcaption></figure>"
    )


def _alike(found: Mapping[str, Any], read: Reader) -> str:
    near = found["near_duplicates"]
    parts = [
        f"<p>{near['samples']:,} of {found['compared']:,} samples are near duplicates: less than {NEAR} bits from an "
        "earlier one.</p>"
    ]
    for pair in near["nearest"][:_PAIRS_SHOWN]:
        strips = _strip(read, pair["like"]) + _strip(read, pair["id"])
        shown = html.escape(f"{pair['like']} and {pair['id']}: {pair['bits']} bits apart")
        parts.append(f"<div class=pair>{strips}<p class=muted>{shown}</div>")
    return "".join(parts)


def _strip(read: Reader, name: str) -> str:
    try:
        return "".join(map(_thumbnail, read(name)))
    except SamDataError as error:
        return f"<p>{html.escape(str(error))}</p>"


def _thumbnail(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return inline_image(buffer.getvalue(), "jpeg")
