"""Contact sheets of a synthesised data set, to look at: one JPEG a kind, several samples a row, their texts below.

    python tools/make_contact_sheets.py data/mmlink docs/synthesis --rows 3 --columns 2

Writes <out>/<form>_<kind>.jpg, none larger than 400 kB. Which samples are shown follows from their order, so equal data
give equal sheets.
"""

import argparse
import io
import textwrap
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines

MARGIN, LINE, GAP = 10, 17, 4
FRAME = (170, 174, 180)
MOST_BYTES = 400_000


def sheet(root: Path, samples: list[dict], side: int, columns: int) -> Image.Image:
    """The samples in a grid of `columns`, images `side` pixels high."""
    cards = [card(root, sample, side) for sample in samples]
    width = max(card.width for card in cards)
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    heights = [max(card.height for card in row) for row in rows]
    page = Image.new("RGB", (columns * (width + MARGIN) + MARGIN, sum(heights) + MARGIN * (len(rows) + 1)), "white")
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, one in enumerate(row):
            page.paste(one, (MARGIN + column * (width + MARGIN), top))
        top += height + MARGIN
    return page


def card(root: Path, sample: dict, side: int) -> Image.Image:
    """One sample: its images side by side, question and answer below."""
    images: list[Image.Image] = []
    for entry in sample["pictures"]:
        with Image.open(root / entry["file"]) as file:
            width = round(file.width * side / file.height)
            image = file.convert("RGB").resize((width, side), Image.Resampling.LANCZOS)
        # Icons lie on white: without a frame nobody would see where an image ends.
        ImageDraw.Draw(image).rectangle((0, 0, width - 1, side - 1), outline=FRAME)
        images.append(image)
    width = max(sum(image.width for image in images) + GAP * (len(images) - 1), side)
    places = " | ".join(entry["background"]["text"] for entry in sample["pictures"] if entry["background"]["text"])
    lines = [
        line
        for text in (sample["instruction"], "-> " + sample["output"], places)
        for line in textwrap.wrap(text, max(20, width // 7))
    ]
    sheet = Image.new("RGB", (width, side + 6 + LINE * len(lines)), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + GAP
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, line in enumerate(lines):
        draw.text((0, side + 4 + number * LINE), line, "black", font)
    return sheet


def small_jpeg(page: Image.Image) -> bytes:
    """The page as JPEG of at most `MOST_BYTES`, as good as that allows."""
    for quality in range(88, 20, -6):
        buffer = io.BytesIO()
        page.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MOST_BYTES:
            return buffer.getvalue()
    raise SystemExit("a sheet is larger than 400 kB at any quality; show fewer rows or a smaller side")


def main() -> None:
    """Write a sheet for every kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--skip", type=int, default=0, help="leave out this many samples of each kind")
    arguments = parser.parse_args()
    samples = defaultdict(list)
    for sample in read_lines(arguments.root / SAMPLES):
        samples[sample["form"], sample["kind"]].append(sample)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for (form, kind), found in samples.items():
        shown = found[arguments.skip : arguments.skip + arguments.rows * arguments.columns]
        path = arguments.out / f"{form}_{kind}.jpg"
        path.write_bytes(small_jpeg(sheet(arguments.root, shown, arguments.side, arguments.columns)))
        print(path)


if __name__ == "__main__":
    main()
