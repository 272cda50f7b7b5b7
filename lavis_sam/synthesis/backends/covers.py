"""Book covers of books that do not exist: title, author and genre are invented, the cover is drawn.

book = sample_book(rng)
other = sample_book(rng, author=book.author, genre=book.genre)
cover = draw_cover(other, 512)
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.names import unknown_name
from lavis_sam.synthesis.backends.colours import check_split, is_held_out
from lavis_sam.synthesis.backends.cover_art import ARTISTS, Canvas, printed
from lavis_sam.synthesis.backends.render.paint import Colour, mixed
from lavis_sam.synthesis.backends.types import Rgb

FONTS = Path(__file__).parents[2] / "assets" / "synthesis" / "fonts"
ASPECT = 2 / 3
_OVERSAMPLING = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Genre:
    """What books of a genre look like and are called.

    Attributes:
        titles: Patterns; `$a` and `$b` stand for words of the lists.
        a: Words.
        b: Words.
        art: Names of `cover_art.ARTISTS`.
        subjects: Icons that suit it.
        fonts: Files in `fonts/`, without their ending.
        colours: Pairs of ground and accent.
    """

    titles: tuple[str, ...]
    a: tuple[str, ...]
    b: tuple[str, ...]
    art: tuple[str, ...]
    subjects: tuple[str, ...]
    fonts: tuple[str, ...]
    colours: tuple[tuple[Colour, Colour], ...]


_DARK: tuple[tuple[Colour, Colour], ...] = (
    ((28, 36, 58), (226, 170, 70)),
    ((44, 28, 46), (208, 84, 74)),
    ((20, 52, 56), (236, 190, 110)),
)
_BRIGHT: tuple[tuple[Colour, Colour], ...] = (
    ((246, 214, 110), (222, 84, 62)),
    ((120, 198, 206), (250, 226, 120)),
    ((244, 160, 150), (86, 130, 180)),
    ((160, 206, 130), (250, 236, 190)),
)
_CALM: tuple[tuple[Colour, Colour], ...] = (
    ((232, 222, 202), (122, 62, 50)),
    ((196, 210, 206), (52, 84, 96)),
    ((96, 116, 96), (236, 224, 190)),
    ((58, 84, 122), (232, 206, 150)),
)
_PLACES = ("Harbour", "Valley", "Lighthouse", "Garden", "Island", "Mill", "Orchard", "Station", "Bridge", "Villa")
GENRES: Mapping[str, Genre] = {
    "mystery": Genre(
        ("The $a $b", "Murder at the $b", "A Key to the $b", "The Secret of the $b"),
        ("Silent", "Locked", "Hidden", "Last", "Forgotten"), _PLACES, ("skyline", "single", "hills"),
        ("key", "candle", "mantelpiece clock", "lock"), ("oswald", "cinzel"), _DARK,
    ),
    "romance": Genre(
        ("A $a in the $b", "Letters from the $b", "The $b of My Heart", "One $a at the $b"),
        ("Summer", "Kiss", "Promise", "Waltz", "Spring"), _PLACES, ("hills", "single", "scattered"),
        ("rose", "tulip", "envelope"), ("caveat", "eb-garamond"), _BRIGHT,
    ),
    "science fiction": Genre(
        ("The $a of $b", "Beyond $b", "$b Station", "Signals from $b"),
        ("Engines", "Children", "Archive", "Edge", "Clocks"), ("Orion", "Kepler", "Titan", "Vega", "Europa", "Callisto"),
        ("planet",), ("rocket",), ("oswald", "cinzel"), (((36, 44, 96), (226, 134, 84)), ((28, 70, 84), (214, 196, 120)), ((74, 36, 92), (112, 196, 214))),
    ),
    "fantasy": Genre(
        ("The $a of $b", "$b and the $a", "Crown of $b", "The Last $a"),
        ("Dragon", "Wizard", "Sword", "Raven", "Witch"), ("Eldoria", "Nareth", "the North", "Winterfall", "Tarn"),
        ("hills", "single"), ("crown", "owl", "candle"), ("cinzel",), (((46, 40, 84), (226, 150, 96)), ((30, 66, 62), (226, 210, 130)), ((84, 36, 44), (240, 190, 96))),
    ),
    "history": Genre(
        ("The $a of $b", "$b: A History", "A Short History of $b", "How $b Was Won"),
        ("Fall", "Rise", "Kings", "Merchants", "Builders"), ("Rome", "Carthage", "Venice", "Athens", "Byzantium", "Prague"),
        ("temple",), ("crown",), ("cinzel", "eb-garamond"), _CALM,
    ),
    "cooking": Genre(
        ("The $a Kitchen", "$a Dishes for $b", "Cooking with $b", "$a $b at Home"),
        ("Simple", "Green", "Rustic", "Sunny", "Quick"), ("Friends", "Vegetables", "Herbs", "Every Day", "Two"),
        ("scattered", "single"), ("avocado", "broccoli", "carrot", "tomato", "lemon", "croissant", "cheese wedge"), ("eb-garamond", "caveat"), _BRIGHT,
    ),
    "travel": Genre(
        ("$a Through $b", "A Year in $b", "$b on Foot", "The Road to $b"),
        ("Walking", "Sailing", "Cycling", "Wandering"), ("Norway", "Portugal", "the Andes", "Iceland", "Tuscany", "Japan"),
        ("hills", "rays"), ("compass", "airplane", "sailboat", "tent"), ("oswald", "eb-garamond"), (((70, 150, 190), (250, 214, 140)), ((236, 140, 96), (90, 60, 90)), ((56, 120, 104), (246, 216, 150))),
    ),
    "children's": Genre(
        ("The $a $b", "$b Goes to School", "Good Night, $b", "Where Is $b?"),
        ("Little", "Curious", "Brave", "Sleepy"), ("Elephant", "Penguin", "Hedgehog", "Owl", "Duck", "Turtle"),
        ("rays", "single", "scattered"), ("elephant", "penguin", "hedgehog", "owl", "duck", "turtle"), ("caveat",), _BRIGHT,
    ),
    "medical": Genre(
        ("$a of the $b", "Atlas of $a", "The $b in Practice", "Clinical $a"),
        ("Anatomy", "Surgery", "Imaging", "Physiology"), ("Heart", "Knee", "Lung", "Spine", "Brain"),
        ("pulse",), ("microscope",), ("oswald",), (((30, 84, 120), (226, 72, 72)), ((24, 110, 104), (246, 226, 140)), ((236, 240, 242), (200, 50, 60))),
    ),
    "business": Genre(
        ("The $a $b", "$b That Lasts", "$a Your $b", "Rules of the $b"),
        ("Smart", "Lean", "Honest", "Bold"), ("Company", "Market", "Leader", "Strategy", "Team"),
        ("bars", "tiles"), ("briefcase",), ("oswald",), (((30, 44, 76), (240, 170, 60)), ((236, 236, 232), (36, 120, 150)), ((120, 30, 44), (240, 214, 160))),
    ),
    "poetry": Genre(
        ("$a and $b", "Songs of $b", "Under $b", "The Colour of $b"),
        ("Ashes", "Salt", "Feathers", "Ink", "Rain"), ("Light", "Winter", "Snow", "Dusk", "the Sea"),
        ("tiles", "single", "hills"), ("maple leaf", "crescent moon", "butterfly"), ("eb-garamond", "caveat"), _CALM,
    ),
    "gardening": Genre(
        ("The $a Garden", "$b Month by Month", "Growing $b", "$a $b for Beginners"),
        ("Wild", "Urban", "Kitchen", "Shady"), ("Tomatoes", "Roses", "Herbs", "Tulips", "Cacti"),
        ("scattered", "single", "rays"), ("potted plant", "tulip", "sunflower", "tomato", "cactus", "honeybee"), ("eb-garamond", "oswald"), (((214, 228, 190), (70, 110, 60)), ((92, 130, 84), (250, 230, 160)), ((246, 226, 196), (190, 80, 60))),
    ),
}  # fmt: skip
_FIRST = (
    "Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Henry", "Irene", "Jonas", "Karen", "Louis",
    "Maria", "Nadia", "Oscar", "Paula", "Robert", "Sofia", "Thomas", "Vera", "Walter", "Yasmin",
)  # fmt: skip
_LAST = (
    "Abelard", "Bexley", "Corvino", "Dunmore", "Ellery", "Fairweather", "Grantham", "Hollis", "Ivanov", "Jansen", "Kowal",
    "Lindqvist", "Marchetti", "Norwood", "Okafor", "Pemberton", "Quintana", "Rosewood", "Sandoval", "Thornbury", "Varga",
    "Whitlock", "Yamada", "Zimmer",
)  # fmt: skip


@dataclass(frozen=True)
class Book:
    """A book and what its cover looks like.

    Attributes:
        title: "The Silent Harbour".
        author: "Anna Bexley".
        genre: A key of `GENRES`.
        art: The name of its picture.
        subject: The icon in it, or "".
        font: Of the title.
        ground: Main colour.
        accent: Second colour.
        layout: 0 title above, 1 title in a panel, 2 author above.
        seed: Of the picture.
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
        """Everything that a description can say, by name."""
        return {"title": self.title, "author": self.author, "genre": self.genre}


def sample_book(
    rng: np.random.Generator, palette: str = "train", *, author: str | None = None, genre: str | None = None
) -> Book:
    """A book.

    Args:
        rng: Decides everything.
        palette: "train", "held_out" or "all": which authors and titles occur.
        author: Who wrote it; None for somebody.
        genre: A key of `GENRES`; None for any.

    Raises:
        SamConfigurationError: An unknown palette or genre.
    """
    check_split(palette)
    if genre is not None and genre not in GENRES:
        raise SamConfigurationError(unknown_name("genre", genre, GENRES, "genre"))
    genre = genre or _pick(rng, tuple(GENRES))
    look = GENRES[genre]
    if author is None:
        surnames = [
            name for name in _LAST if palette == "all" or is_held_out("author", name) == (palette == "held_out")
        ]
        middle = f" {chr(65 + int(rng.integers(26)))}." if rng.random() < 0.3 else ""
        author = f"{_pick(rng, _FIRST)}{middle} {_pick(rng, surnames)}"
    titles = _titles(genre, palette)
    ground, accent = _pick(rng, look.colours)
    title, art = _pick(rng, titles), _pick(rng, look.art)
    # A picture book shows the animal that its title names.
    named = [icon for icon in look.subjects if icon.split()[-1].lower() in title.lower()]
    return Book(
        title=title,
        author=author,
        genre=genre,
        art=art,
        subject=_pick(rng, named or look.subjects) if art in ("single", "scattered", "rays") else "",
        font=_pick(rng, look.fonts),
        ground=ground,
        accent=accent,
        layout=int(rng.integers(3)),
        seed=int(rng.integers(2**31)),
    )


def describe_book(book: Book) -> tuple[str, ...]:
    """The words that every text about the book must keep."""
    return (book.title, book.author, book.genre)


@functools.lru_cache(maxsize=None)
def _titles(genre: str, palette: str) -> tuple[str, ...]:
    look = GENRES[genre]
    every = sorted({title.replace("$a", a).replace("$b", b) for title in look.titles for a in look.a for b in look.b})
    return tuple(title for title in every if palette == "all" or is_held_out("title", title) == (palette == "held_out"))


def draw_cover(book: Book, size: int) -> Rgb:
    """The cover.

    Args:
        book: Which.
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
    # Pictures of the sky are darker than the ground colour.
    bright = sum(book.ground) > 420 and book.art not in ("skyline", "planet")
    ink = mixed(mixed(book.accent, book.ground, 0.3), (20, 18, 24), 0.78) if bright else (250, 246, 234)
    canvas = Canvas(Image.new("RGB", (width, height), book.ground), rng, book.ground, book.accent, ink, book.subject)
    ARTISTS[book.art](canvas)
    _letter(canvas, book)
    small = canvas.image.resize((round(size * ASPECT), size), Image.Resampling.LANCZOS)
    return printed(small, rng)


def _letter(canvas: Canvas, book: Book) -> None:
    """Title and author."""
    width, height = canvas.size
    # Patterns and scattered things leave no quiet place for letters, so those get a panel.
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
    """Text in the middle of a box (shares of the canvas), as large as fits on up to three lines."""
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
    """The text on as few lines as fit, at most three; empty when a word is too long."""
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


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]
