"""Book covers from the Amazon book cover list: books of one author, or of one genre (covers).

The list has no header and seven quoted columns - ASIN, file name, address, title, author, category number, category -
in latin-1. ASINs have lost their leading zeros, so the file name is what identifies a book; authors can be empty.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.protocols import SampleRequest, Skipped
from lavis_sam.synthesis.records import SourceObject, View
from lavis_sam.synthesis.sources.files import existing_file, existing_folder, read_image, rows_of
from lavis_sam.synthesis.sources.groups import in_split

LICENCE = "Book covers: rights with their publishers, for research"
_COLUMNS = 7
# Genres have thousands of books and authors a few, so half of the samples are about an author.
_AUTHOR_SHARE = 0.5
_COVER_HEIGHT = 0.24


@dataclass(frozen=True)
class Book:
    """One row: the file under its category's folder, and what is known of it."""

    file: str
    title: str
    author: str
    genre: str


class BookSource:
    """Draws books that share an author, a genre or both; an object's views are their covers."""

    name = "book covers"
    version = "1"
    licence = LICENCE

    def __init__(self, root: str, table: str = "book32-listing.csv", split: str = "train", fewest: int = 2) -> None:
        """Read the list.

        Args:
            root: The covers are in `<root>/<Category>/<file name>`.
            table: The list, relative to the root.
            split: "train", "held_out" or "all", by author and genre.
            fewest: Books that an author or genre must have.

        Raises:
            SamConfigurationError: The list is missing or malformed, or nothing in it can be used.
        """
        self._root = existing_folder(root, "sources.covers.root")
        books, self._skipped = _read_table(existing_file(self._root / table, "the list of books"))
        authors, genres = defaultdict(list), defaultdict(list)
        for book in books:
            if book.author:
                authors[book.author].append(book)
            genres[book.genre].append(book)
        self._authors = _usable(authors, fewest, "author", split)
        self._genres = _usable(genres, fewest, "genre", split)
        if not self._authors and not self._genres:
            raise SamConfigurationError(
                f"{self._root / table}: {len(books)} books, but no author and no genre with at least {fewest} of them "
                f"in the split {split!r}."
            )

    def skipped(self) -> Iterator[Skipped]:
        """See `Source.skipped`."""
        return iter(self._skipped)

    def draw(self, request: SampleRequest) -> SourceObject:
        """See `Source.draw`; the views are covers of different books."""
        by_author = bool(self._authors) and (not self._genres or request.rng.random() < _AUTHOR_SHARE)
        groups = self._authors if by_author else self._genres
        groups = [group for group in groups if len(group) >= request.views]
        if not groups:
            raise SamDataError(f"{self.name}: nobody has {request.views} books")
        place = request.position if request.position is not None else int(request.rng.integers(len(groups)))
        books = _pick(groups[place % len(groups)], request.views, request.rng)
        attributes = shared_facts([book.author for book in books], [book.genre for book in books])
        return SourceObject(
            id=" + ".join(book.file for book in books),
            kind="covers",
            source=self.name,
            licence=self.licence,
            attributes=attributes,
            required_words=tuple(attributes.values()),
            height=_COVER_HEIGHT,
            views=tuple(self._view(book) for book in books),
        )

    def _view(self, book: Book) -> View:
        path = f"{book.genre}/{book.file}"
        image = read_image(self._root, path)
        facts = {"title": book.title, "author": book.author, "genre": book.genre}
        return View(image, np.ones(image.shape[:2], np.float32), book.title, path, facts)


def shared_facts(authors: list[str], genres: list[str]) -> dict[str, str]:
    """Return what all books of a sample have in common: {"author": …, "genre": …}, either may be missing."""
    shared = {}
    if authors[0] and len(set(authors)) == 1:
        shared["author"] = authors[0]
    if genres[0] and len(set(genres)) == 1:
        shared["genre"] = genres[0]
    return shared


def _usable(groups: dict[str, list[Book]], fewest: int, what: str, split: str) -> list[list[Book]]:
    usable = [
        (name, sorted(books, key=lambda book: book.file))
        for name, books in groups.items()
        if len(books) >= fewest and in_split(f"{what}:{name}", split)
    ]
    return [books for _, books in sorted(usable, key=lambda entry: entry[0])]


def _pick(books: list[Book], count: int, rng: np.random.Generator) -> list[Book]:
    return [books[int(index)] for index in rng.choice(len(books), count, replace=False)]


def _read_table(path: Path) -> tuple[list[Book], list[Skipped]]:
    books: list[Book] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for number, row in rows_of(path, "latin-1"):
        if len(row) != _COLUMNS:
            skipped.append(Skipped(f"line {number}", f"{len(row)} columns"))
            continue
        _, name, _, title, author, _, genre = (field.strip() for field in row)
        if name in seen or not name or not genre:
            skipped.append(Skipped(f"line {number}", "named before" if name in seen else "no name or genre"))
            continue
        seen.add(name)
        books.append(Book(name, title, author, genre))
    return books, skipped
