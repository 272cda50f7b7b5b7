"""The book cover list: no header, latin-1, lost zeros, empty authors."""

import numpy as np
import pytest
from PIL import Image

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.sources import files, groups
from lavis_sam.synthesis.sources.books import BookSource

ROWS = [
    ("761183272", "0761183272.jpg", "Mom's Family Wall Calendar 2016", "Sandra Boynton", "3", "Calendars"),
    ("1623439671", "1623439671.jpg", "Doug the Pug 2016", "Doug the Pug", "3", "Calendars"),
    ("60", "0000000060.jpg", "Les Misérables, tome 1", "Émile Zola", "12", "Literature & Fiction"),
    ("61", "0000000061.jpg", 'He said "no"', "Émile Zola", "12", "Literature & Fiction"),
    ("62", "0000000062.jpg", "Anonymous, again", "", "12", "Literature & Fiction"),
    ("63", "0000000063.jpg", "Travels", "Sandra Boynton", "29", "Travel"),
]


def line(asin, name, title, author, number, genre):
    fields = [asin, name, f"http://images.example/{name}", title, author, number, genre]
    return ",".join('"' + field.replace('"', '""') + '"' for field in fields)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)
    for _, name, _, _, _, genre in ROWS:
        (tmp_path / genre).mkdir(exist_ok=True)
        Image.new("RGB", (80, 120), (10, 20, 30)).save(tmp_path / genre / name)
    text = "\r\n".join([*(line(*row) for row in ROWS), '"broken","row"', line(*ROWS[0])]) + "\r\n"
    (tmp_path / "book32-listing.csv").write_bytes(text.encode("latin-1"))
    return tmp_path


def drawn(source, count=60, views=2):
    return [source.draw(SampleRequest(np.random.default_rng(seed), views)) for seed in range(count)]


def test_books_share_what_is_said_of_them(root):
    source = BookSource(str(root))
    relations = set()
    for pair in drawn(source):
        facts = [dict(view.attributes) for view in pair.views]
        assert facts[0]["title"] != facts[1]["title"]
        for name in ("author", "genre"):
            equal = facts[0][name] == facts[1][name] != ""
            assert (pair.attributes.get(name) == facts[0][name]) is equal
        assert pair.required_words == tuple(pair.attributes.values())
        relations.add(tuple(pair.attributes))
    assert relations == {("author",), ("genre",), ("author", "genre")}


def test_latin_1_and_quotes_survive_and_an_empty_author_is_nobody(root):
    pairs = drawn(BookSource(str(root)))
    authors = {pair.attributes.get("author") for pair in pairs}
    assert "Émile Zola" in authors
    assert "" not in authors
    assert 'He said "no"' in {view.attributes["title"] for pair in pairs for view in pair.views}


def test_the_file_name_identifies_a_book(root):
    references = {view.reference for pair in drawn(BookSource(str(root))) for view in pair.views}
    assert "Calendars/0761183272.jpg" in references, "its ASIN has lost the zero"


def test_rows_that_cannot_be_used_are_named(root):
    assert [(entry.id, entry.reason) for entry in BookSource(str(root)).skipped()] == [
        ("line 7", "2 columns"),
        ("line 8", "named before"),
    ]


def test_covers_are_whole_images(root):
    view = drawn(BookSource(str(root)), 1)[0].views[0]
    assert view.alpha.min() == 1.0
    assert view.image.shape == (120, 80, 3)


def test_too_few_books(root, monkeypatch):
    source = BookSource(str(root))
    with pytest.raises(SamDataError, match="nobody has 5 books"):
        drawn(source, 1, views=5)
    monkeypatch.setattr(groups, "_HELD_OUT", 1.0)
    with pytest.raises(SamConfigurationError, match="no author and no genre with at least 2"):
        BookSource(str(root))
    assert drawn(BookSource(str(root), split="held_out"), 1)


def test_a_missing_list_and_a_missing_folder(root, tmp_path):
    with pytest.raises(SamConfigurationError, match="the list of books"):
        BookSource(str(root), table="absent.csv")
    with pytest.raises(SamConfigurationError, match="wanted an existing folder"):
        BookSource(str(tmp_path / "absent"))


def test_a_category_that_leaves_the_root_is_refused(root):
    rows = [line(str(k), f"{k}.jpg", "x", "Mallory", "1", "../..") for k in range(2)]
    (root / "evil.csv").write_bytes("\n".join(rows).encode())
    with pytest.raises(SamDataError, match="leaves the source's folder"):
        drawn(BookSource(str(root), table="evil.csv"), 1)


def test_an_endless_field_is_refused(root):
    (root / "long.csv").write_text('"a"\n"' + "x" * (files._LONGEST_FIELD + 10))
    with pytest.raises(SamConfigurationError, match=r"long.csv:2: cannot be read as a table"):
        BookSource(str(root), table="long.csv")
