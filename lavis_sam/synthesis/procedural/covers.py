"""Book covers of books that do not exist: title, author and genre are invented, the cover is drawn.

book = sample_book(rng)
other = sample_book(rng, author=book.author, genre=book.genre)
cover = draw_cover(other, 512)
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.procedural.colours import check_split, is_held_out
from lavis_sam.synthesis.procedural.cover_art import ARTISTS, Canvas, printed
from lavis_sam.synthesis.procedural.genres import FIRST_NAMES, GENRES, LAST_NAMES
from lavis_sam.synthesis.procedural.render.paint import Colour, mixed
from lavis_sam.synthesis.records import Rgb
from lavis_sam.synthesis.seeds import pick

FONTS = Path(__file__).parents[2] / "assets" / "synthesis" / "fonts"
ASPECT = 2 / 3
_OVERSAMPLING = 2


@dataclass(frozen=True)
class Book:
    """A book and what its cover looks like.

    Attributes:
        title: "The Silent Harbour".
        author: "Anna Bexley".
        genre: A key of `GENRES`.
        subject: The icon in it, or "".
        layout: 0 title above, 1 title in a panel, 2 author above.
    """

    title: str
    author: str
    genre: str
    art: str
    subject: str
    font: str
    ground: Colour
    accent: Colour
    layout: int
    seed: int

    def words(self) -> dict[str, str]:
        """Return everything that a description can say, by name."""
        return {"title": self.title, "author": self.author, "genre": self.genre}


def sample_book(
    rng: np.random.Generator, palette: str = "train", *, author: str | None = None, genre: str | None = None
) -> Book:
    """Return a book.

    Args:
        palette: "train", "held_out" or "all": which authors and titles occur.
        author: Who wrote it; None for somebody.
        genre: A key of `GENRES`; None for any.

    Raises:
        SamConfigurationError: An unknown palette or genre.
    """
    check_split(palette)
    if genre is not None and genre not in GENRES:
        raise SamConfigurationError(unknown_name("genre", genre, GENRES, "genre"))
    genre = genre or pick(rng, tuple(GENRES))
    look = GENRES[genre]
    if author is None:
        surnames = [
            name for name in LAST_NAMES if palette == "all" or is_held_out("author", name) == (palette == "held_out")
        ]
        middle = f" {chr(65 + int(rng.integers(26)))}." if rng.random() < 0.3 else ""
        author = f"{pick(rng, FIRST_NAMES)}{middle} {pick(rng, surnames)}"
    titles = _titles(genre, palette)
    ground, accent = pick(rng, look.colours)
    title, art = pick(rng, titles), pick(rng, look.art)
    # Where a title names an icon, such as an animal, the cover shows it.
    named = [icon for icon in look.subjects if icon.split()[-1].lower() in title.lower()]
    return Book(
        title=title,
        author=author,
        genre=genre,
        art=art,
        subject=pick(rng, named or look.subjects) if art in ("single", "scattered", "rays") else "",
        font=pick(rng, look.fonts),
        ground=ground,
        accent=accent,
        layout=int(rng.integers(3)),
        seed=int(rng.integers(2**31)),
    )


@functools.cache
def _titles(genre: str, palette: str) -> tuple[str, ...]:
    look = GENRES[genre]
    every = sorted({title.replace("$a", a).replace("$b", b) for title in look.titles for a in look.a for b in look.b})
    return tuple(title for title in every if palette == "all" or is_held_out("title", title) == (palette == "held_out"))


def draw_cover(book: Book, size: int) -> Rgb:
    """Return the cover.

    Args:
        size: Its height in pixels; it is two thirds as wide.

    Returns:
        [size, 2/3 size, 3].

    Raises:
        SamConfigurationError: A size below 48 or above 4096.
        SamDataError: A font is missing or broken.
    """
    if not 48 <= size <= 4096:
        raise SamConfigurationError(f"size: found {size}, wanted 48 to 4096 pixels.")
    rng = np.random.Generator(np.random.PCG64(book.seed))
    height = size * _OVERSAMPLING
    width = round(height * ASPECT)
    # Images of the sky are darker than the ground colour.
    bright = sum(book.ground) > 420 and book.art not in ("skyline", "planet")
    ink = mixed(mixed(book.accent, book.ground, 0.3), (20, 18, 24), 0.78) if bright else (250, 246, 234)
    canvas = Canvas(Image.new("RGB", (width, height), book.ground), rng, book.ground, book.accent, ink, book.subject)
    ARTISTS[book.art](canvas)
    _letter(canvas, book)
    small = canvas.image.resize((round(size * ASPECT), size), Image.Resampling.LANCZOS)
    return printed(small, rng)


def _letter(canvas: Canvas, book: Book) -> None:
    """Write title and author."""
    width, height = canvas.size
    # Patterns and scattered objects leave no quiet place for letters, so those get a panel.
    if book.layout == 1 or book.art in ("tiles", "scattered"):
        paper = mixed(book.ground, (255, 255, 255), 0.82)
        dark = mixed(mixed(book.accent, book.ground, 0.3), (20, 18, 24), 0.62)
        low, high = (0.10, 0.44) if book.art not in ("tiles", "scattered") else (0.28, 0.70)
        box = (width * 0.10, height * low, width * 0.90, height * high)
        draw = ImageDraw.Draw(canvas.image)
        draw.rectangle(box, fill=paper)
        edge = width * 0.018
        draw.rectangle(
            (box[0] + edge, box[1] + edge, box[2] - edge, box[3] - edge), outline=mixed(paper, dark, 0.5), width=3
        )
        _write(canvas, book.title, book.font, dark, (0.14, low + 0.03, 0.86, high - 0.11))
        _write(canvas, book.author, "oswald", mixed(dark, paper, 0.2), (0.18, high - 0.09, 0.82, high - 0.03))
        return
    # The windows of a skyline would cross an author below.
    if book.layout == 0 and book.art != "skyline":
        _write(canvas, book.title, book.font, canvas.ink, (0.09, 0.055, 0.91, 0.34), shadow=True)
        _write(canvas, book.author, "oswald", canvas.ink, (0.14, 0.915, 0.86, 0.965), shadow=True)
    else:
        _write(canvas, book.author.upper(), "oswald", canvas.ink, (0.08, 0.045, 0.92, 0.115), shadow=True)
        _write(canvas, book.title, book.font, canvas.ink, (0.09, 0.145, 0.91, 0.38), shadow=True)


def _write(
    canvas: Canvas, text: str, font: str, colour: Colour, box: tuple[float, float, float, float], shadow: bool = False
) -> None:
    """Write a text in the middle of a box (shares of the canvas), as large as fits on up to three lines."""
    width, height = canvas.size
    left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    draw = ImageDraw.Draw(canvas.image)
    for points in range(round(height * 0.13), 9, -3):
        face = _font(font, points)
        lines = _lines(draw, text, face, right - left)
        spacing = points * 1.12
        if lines and len(lines) * spacing <= bottom - top:
            break
    else:
        face, lines, spacing = _font(font, 10), [text], 11.0
    y = (top + bottom - len(lines) * spacing) / 2 + spacing / 2
    for line in lines:
        if shadow:
            soft = (
                mixed(canvas.ground, (0, 0, 0), 0.75)
                if sum(colour) > 390
                else mixed(canvas.ground, (255, 255, 255), 0.35)
            )
            draw.text(((left + right) / 2 + 3, y + 3), line, font=face, fill=soft, anchor="mm")
        draw.text(((left + right) / 2, y), line, font=face, fill=colour, anchor="mm")
        y += spacing


def _lines(draw: ImageDraw.ImageDraw, text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Return the text on as few lines as fit, at most three; empty when a word is too long."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(joined, font=face) <= width:
            lines[-1] = joined
        elif draw.textlength(word, font=face) <= width:
            lines.append(word)
        else:
            return []
    return lines if len(lines) <= 3 else []


@functools.lru_cache(maxsize=256)
def _font(name: str, points: int) -> ImageFont.FreeTypeFont:
    path = FONTS / f"{name}.woff"
    try:
        # The basic layout engine is the same on every machine.
        return ImageFont.truetype(str(path), points, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise SamDataError(f"{path}: cannot be read ({error}); reinstall lavis_sam.") from error
