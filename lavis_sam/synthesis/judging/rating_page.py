"""A page of random samples for one person to rate: one key a sample, and the ratings come out as a file.

It shows neither scores nor kinds of checks, so that nobody rates what a check said. Its file goes to
`lavis-sam synthesize-agreement`.
"""

import html
import random
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from lavis_sam.files import write_text
from lavis_sam.pages import document
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.finished import reading_finished
from lavis_sam.synthesis.page import embedded_image

_STYLE = """
.item img { height: 300px; max-width: 100%; object-fit: contain; margin-right: 6px; border-radius: 3px; }
.item p { max-width: 48rem; }
.muted { color: #777; font-size: .85rem; overflow-wrap: anywhere; }
input, button { font: inherit; padding: .3rem .6rem; }
.verdict[aria-pressed=true] { outline: 3px solid #4477aa; }
"""
# Key -> what it says; the keys and their meaning are in rate.js.
_VERDICTS = {
    "1": "all is well",
    "2": "the images are bad, the answer is right",
    "3": "the images are good, the answer is wrong",
    "4": "both are bad",
}
_TASK = """<p>Bad images: an object is cut off, holds something of its old background, floats, is far too large or too
small, or is not the same object in all images; or the place is blurred, empty or impossible. A wrong answer: it names
what is not there, misses what is asked for, or cannot be read. Press a key for each sample; the arrow keys go back and
forth. A sample of which you are not sure is left out with the right arrow.</p>"""


def write_rating_page(root: Path, path: Path, *, num: int, seed: int) -> int:
    """Write a page with samples of the data set in `root`, drawn at random.

    Args:
        num: Samples on it; all of them where there are fewer.
        seed: Equal seeds give equal pages, which is what raters are to be compared on.

    Returns:
        How many samples it has.

    Raises:
        SamDataError: `root` holds no finished data set, or one whose records are damaged.
    """
    with reading_finished(root) as manifest:
        count = int(manifest["accepted"])
        rng = random.Random(seed)
        chosen = rng.sample(range(count), min(num, count))
        wanted = set(chosen)
        numbered = enumerate(read_lines(root / SAMPLES))
        shown = {index: _item(root, sample) for index, sample in numbered if index in wanted}
        items = "".join(shown[index] for index in chosen)
        write_text(path, _page(str(manifest["sha256"][SAMPLES]), root.resolve().name, items))
        return len(chosen)


def _item(root: Path, sample: Mapping[str, Any]) -> str:
    images = "".join(embedded_image(root, image["file"], side=512) for image in sample["pictures"])
    return (
        f'<section class=item data-id="{html.escape(str(sample["id"]))}" hidden>{images}'
        f"<p>{html.escape(sample['instruction'])}<p><b>{html.escape(sample['output'])}</b></section>"
    )


def _page(samples: str, name: str, items: str) -> str:
    buttons = " ".join(
        f'<button class=verdict data-key="{key}">{key}: {meaning}</button>' for key, meaning in _VERDICTS.items()
    )
    body = (
        f"{_TASK}<p><label>Your name: <input id=rater maxlength=60></label> <span id=state></span></p>"
        f"{items}<p>{buttons}</p>"
        f"<p><button id=download>Download the ratings</button> <span id=kept class=muted></span></p>"
        f"<p class=muted>Samples <span id=samples>{html.escape(samples)}</span></p>"
    )
    script = resources.files("lavis_sam.synthesis.judging").joinpath("rate.js").read_text("utf-8")
    return document(f"Rate samples of {name}", _STYLE, body, script)
