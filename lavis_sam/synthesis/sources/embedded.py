"""Sources without files: people, furniture, icons and book covers from the embedded backends.

The split "held_out" has its own icons, its own pairings of objects and colours, and its own titles and authors; none of
them occurs in "train".
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.files import to_json
from lavis_sam.synthesis.procedural.characters import (
    CharacterAttributes,
    Garment,
    colours_of,
    describe_character,
    draw_character,
    sample_character,
    sample_garment,
    sample_pose,
)
from lavis_sam.synthesis.procedural.covers import Book, draw_cover, sample_book
from lavis_sam.synthesis.procedural.furniture import (
    FurnitureAttributes,
    describe_furniture,
    draw_furniture,
    furniture_height,
    sample_furniture,
)
from lavis_sam.synthesis.procedural.icons import icon_meaning, icon_names, load_icon
from lavis_sam.synthesis.protocols import SampleRequest, Skipped
from lavis_sam.synthesis.records import SourceObject, View
from lavis_sam.synthesis.seeds import pick
from lavis_sam.synthesis.sources.books import shared_facts
from lavis_sam.synthesis.sources.studio import photograph

T = TypeVar("T")

LICENCE = "drawn by lavis_sam, BSD-3-Clause"
# Pixels that an object is drawn with; on a canvas of 512 it takes at most 440, and mostly less than 300.
_DRAWN = 352
_COVER_PIXELS = 512
# What the covers of a sample have in common.
_RELATIONS = (("author",), ("genre",), ("author", "genre"))
# Objects drawn from the generator until one differs from those that are there.
_DRAWS = 60
# Words for poses.
ACTIONS = {"arms crossed": "standing with arms crossed", "hands on hips": "standing with hands on hips"}
_ALIKE = (
    {"navy", "blue"},
    {"navy", "black"},
    {"white", "beige"},
    {"white", "grey"},
    {"maroon", "red"},
    {"maroon", "brown"},
    {"orange", "red"},
    {"lavender", "purple"},
    {"olive", "green"},
    {"teal", "green"},
)
# Furniture is seen from the front, from the sides in between, and from a little above.
_AZIMUTHS, _ELEVATIONS = (-66.0, 66.0), (8.0, 17.0)


class _Embedded:
    """What the drawn sources have in common."""

    name: str
    version = "1"
    licence = LICENCE

    def __init__(self, split: str = "train") -> None:
        self._split = split

    def skipped(self) -> Iterator[Skipped]:
        """See `Source.skipped`: nothing is."""
        return iter(())


class ProceduralCharacters(_Embedded):
    """People: build, hair, skin, clothes and colours, in another pose in each view."""

    name = "procedural characters"
    version = "2"

    def draw(self, request: SampleRequest) -> SourceObject:
        """See `Source.draw`."""
        person = _unlike(lambda: sample_character(request.rng, self._split), request, _clothing, _person_label)
        poses: list[tuple[str, float]] = []
        for _ in range(request.views):
            poses.append(sample_pose(request.rng, [pose for pose, _ in poses]))
        return self._object(person, poses, request.rng)

    def changed(self, obj: SourceObject, rng: np.random.Generator) -> tuple[SourceObject, str]:
        """See `Changing.changed`: another colour of a main garment."""
        person: CharacterAttributes = obj.recipe
        names = [name for name in ("whole", "upper", "lower") if getattr(person, name) is not None]
        name = pick(rng, names)
        before: Garment = getattr(person, name)
        worn = [Garment(before.kind, colour) for colour in colours_of(before.kind) if _nearly(colour, before.colour)]
        after = sample_garment(rng, before.kind, "all", unlike=(before, *worn))
        changes: dict[str, Any] = {name: dataclasses.replace(after, pattern=before.pattern)}
        person = dataclasses.replace(person, **changes)
        poses = [(view.attributes["pose name"], float(view.attributes["turn"])) for view in obj.views]
        return self._object(person, poses, rng), f"{before.kind} colour"

    def _object(
        self, person: CharacterAttributes, poses: Sequence[tuple[str, float]], rng: np.random.Generator
    ) -> SourceObject:
        views = tuple(self._view(person, pose, turn, rng) for pose, turn in poses)
        colours = {f"{garment.kind} colour": garment.colour for garment in person.clothes}
        attributes = {**person.words(), **colours, "person": person.kind, "age": person.age}
        return SourceObject(
            id=_content_hash(person),
            kind="characters",
            source=self.name,
            licence=self.licence,
            attributes={name: value for name, value in attributes.items() if value},
            height=views[0].height or 1.7,
            views=views,
            required_words=describe_character(person),
            noun=person.kind,
            label=_person_label(person),
            recipe=person,
        )

    @staticmethod
    def _view(person: CharacterAttributes, pose: str, turn: float, rng: np.random.Generator) -> View:
        cutout = draw_character(person, pose, _DRAWN, turn=turn)
        facts = {"pose": ACTIONS.get(pose, pose), "pose name": pose, "turn": repr(turn)}
        return photograph(cutout, rng, f"{pose}, turned by {turn:.0f} degrees", "drawn", facts)


class ProceduralFurniture(_Embedded):
    """Furniture as solids in perspective, from another side in each view."""

    name = "procedural furniture"
    version = "2"

    def draw(self, request: SampleRequest) -> SourceObject:
        """See `Source.draw`."""
        piece = _unlike(
            lambda: sample_furniture(request.rng, self._split), request, describe_furniture, lambda piece: piece.name
        )
        elevation = float(request.rng.uniform(*_ELEVATIONS))
        sides = [(azimuth, elevation) for azimuth in far_apart(request.views, request.rng)]
        return self._object(piece, sides, request.rng)

    def changed(self, obj: SourceObject, rng: np.random.Generator) -> tuple[SourceObject, str]:
        """See `Changing.changed`: another colour.

        Raises:
            SamDataError: It is made of wood or metal, which nobody calls a colour.
        """
        piece: FurnitureAttributes = obj.recipe
        if piece.material in ("wood", "metal"):
            raise SamDataError(f"a {piece.name} has no colour to change")
        colours = []
        for _ in range(_DRAWS):
            other = sample_furniture(rng, "all", piece.kind)
            if other.material == piece.material and not _nearly(other.colour, piece.colour):
                colours.append(other.colour)
                break
        if not colours:
            raise SamDataError(f"found no other colour for a {piece.name}")
        piece = dataclasses.replace(piece, colour=colours[0])
        sides = [(float(view.attributes["azimuth"]), float(view.attributes["elevation"])) for view in obj.views]
        return self._object(piece, sides, rng), "colour"

    def _object(
        self, piece: FurnitureAttributes, sides: Sequence[tuple[float, float]], rng: np.random.Generator
    ) -> SourceObject:
        views = tuple(self._view(piece, azimuth, elevation, rng) for azimuth, elevation in sides)
        return SourceObject(
            id=_content_hash(piece),
            kind="furniture",
            source=self.name,
            licence=self.licence,
            attributes=piece.words(),
            height=furniture_height(piece),
            views=views,
            required_words=describe_furniture(piece),
            noun=piece.kind,
            label=piece.name,
            recipe=piece,
        )

    @staticmethod
    def _view(piece: FurnitureAttributes, azimuth: float, elevation: float, rng: np.random.Generator) -> View:
        cutout = draw_furniture(piece, azimuth, elevation, _DRAWN)
        facts = {"azimuth": repr(azimuth), "elevation": repr(elevation)}
        return photograph(cutout, rng, f"azimuth {azimuth:.0f}, elevation {elevation:.0f}", "drawn", facts)


def far_apart(count: int, rng: np.random.Generator) -> list[float]:
    """Return azimuths in random order, each in its own share of the front, so that neighbours differ."""
    low, high = _AZIMUTHS
    width = (high - low) / count
    jitter = rng.uniform(0.2, 0.8, count)
    return [float(low + (int(place) + jitter[place]) * width) for place in rng.permutation(count)]


def _unlike(
    sample: Callable[[], T], request: SampleRequest, words: Callable[[T], Sequence[str]], label: Callable[[T], str]
) -> T:
    """Return something whose description has nothing in common with those of the objects that are there.

    Raises:
        SamDataError: Nothing of that kind was drawn.
    """
    taken = {word for obj in request.unlike for word in obj.required_words}
    labels = {obj.label for obj in request.unlike}
    for _ in range(_DRAWS):
        found = sample()
        if label(found) not in labels and not taken.intersection(words(found)):
            return found
    raise SamDataError(f"found nothing that differs from {sorted(labels)} in {_DRAWS} draws")


def _clothing(person: CharacterAttributes) -> tuple[str, ...]:
    """Return what tells people apart: their main garments. Shoes and "young man" may be shared."""
    return tuple(garment.words for garment in (person.whole, person.upper, person.lower) if garment is not None)


def _person_label(person: CharacterAttributes) -> str:
    garment = person.whole or person.upper
    return f"{person.kind} in {garment.phrase if garment is not None else 'a clothes'}"


def _nearly(first: str, second: str) -> bool:
    """Return whether a reader would not tell two colours apart across two images."""
    return first == second or {first, second} in _ALIKE


def _content_hash(attributes: object) -> str:
    text = to_json(attributes, indent=None)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


class EmbeddedIcons(_Embedded):
    """Fluent Emoji 3D."""

    name = "fluent emoji 3d"
    licence = "MIT, Microsoft"

    def __init__(self, split: str = "train") -> None:
        super().__init__(split)
        self._names = icon_names(split)

    def draw(self, request: SampleRequest) -> SourceObject:
        """See `Source.draw`; an icon has one view, as often as wanted."""
        taken = {obj.label for obj in request.unlike}
        free = [name for name in self._names if name not in taken]
        if not free:
            raise SamDataError(f"{self.name}: all {len(self._names)} icons of the split {self._split} are in use")
        start = int(request.rng.integers(len(free))) if request.position is None else request.position
        name = free[start % len(free)]
        rgba = load_icon(name)
        view = View(rgba[..., :3], rgba[..., 3].astype(np.float32) / np.float32(255), name, name)
        attributes = {"icon": name, "meaning": icon_meaning(name)}
        views = (view,) * request.views
        return SourceObject(
            name,
            "icons",
            self.name,
            self.licence,
            attributes,
            0.1,
            views,
            required_words=(name,),
            noun="icon",
            label=name,
        )


class DrawnCovers(_Embedded):
    """Covers of invented books by one author, of one genre, or both."""

    name = "drawn covers"

    def draw(self, request: SampleRequest) -> SourceObject:
        """See `Source.draw`; the views are covers of different books."""
        shared = pick(request.rng, _RELATIONS) if request.views > 1 else ()
        for _ in range(_DRAWS):
            books = self._books(request.rng, request.views, shared)
            attributes = shared_facts([book.author for book in books], [book.genre for book in books])
            if set(attributes) == set(shared) or request.views == 1:
                break
        else:
            raise SamDataError(f"{self.name}: found no {request.views} books with {' and '.join(shared)} in common")
        return SourceObject(
            id="+".join(_content_hash(book) for book in books),
            kind="covers",
            source=self.name,
            licence=self.licence,
            attributes=attributes,
            height=0.24,
            views=tuple(self._view(book) for book in books),
            required_words=tuple(attributes.values()),
            noun="book",
            recipe=books,
        )

    def _books(self, rng: np.random.Generator, count: int, shared: tuple[str, ...]) -> list[Book]:
        """Return different titles, with the first book's author or genre where that is shared."""
        books = [sample_book(rng, self._split)]
        for _ in range(_DRAWS * count):
            if len(books) == count:
                break
            author = books[0].author if "author" in shared else None
            genre = books[0].genre if "genre" in shared else None
            book = sample_book(rng, self._split, author=author, genre=genre)
            if book.title not in [other.title for other in books]:
                books.append(book)
        return books

    @staticmethod
    def _view(book: Book) -> View:
        image = draw_cover(book, _COVER_PIXELS)
        return View(image, np.ones(image.shape[:2], np.float32), book.title, "drawn", book.words())
