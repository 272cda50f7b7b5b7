"""The contact sheet shows what it should, loads nothing, and no text of a data set becomes a part of the page."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.folder import open_folder
from lavis_sam.datasets.preview import THUMBNAIL_SIDE, chosen_samples, contact_sheet

NASTY = '<script>alert("1")</script> & <img src=x onerror=alert(1)> {title} {0} %s'


class Page(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)


def page_of(tmp_path, records, **options):
    write_dataset(tmp_path, records)
    dataset = open_folder(tmp_path)
    return contact_sheet(dataset, range(len(dataset)), "a title", **options)


def test_every_text_and_image_is_there(tmp_path):
    text = page_of(tmp_path, [record("a", references=["R1", "R2"]), record("b", img_list=["x y.png"], output="猫.")])
    page = Page(text)
    for wanted in ("What?", "An answer.", "R1", "R2", "猫.", "x y.png", "12 × 10", "2 of 2 samples"):
        assert wanted in page.text
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 3
    data = base64.b64decode(images[0]["src"].removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        shade = sum(map(ord, "one.png")) % 256
        assert image.size == (12, 10)
        assert image.getpixel((5, 5)) == pytest.approx((shade, 255 - shade, 90), abs=4)


def test_texts_are_escaped(tmp_path):
    text = page_of(tmp_path, [record(NASTY, instruction=NASTY, output=NASTY, references=[NASTY, "b"])])
    page = Page(text)
    assert page.text.count(NASTY) == 4
    assert {tag for tag, _ in page.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "p", "article", "div", "figure", "img", "figcaption"),
        *("dl", "dt", "dd"),
    }
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_names_of_images_are_escaped(tmp_path):
    page = Page(page_of(tmp_path, [record("a", img_list=['"><b>.png'])]))
    (image,) = [attributes for tag, attributes in page.elements if tag == "img"]
    assert image["alt"] == '"><b>.png'
    assert not [tag for tag, _ in page.elements if tag == "b"]


def test_the_page_loads_nothing(tmp_path):
    text = page_of(tmp_path, [record("a")])
    assert not re.findall(r"https?:|url\(|<link|<script|@import", text)
    assert "default-src 'none'" in text
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_large_images_become_small(tmp_path):
    write_dataset(tmp_path, [record("a", img_list=["big.png"])])
    Image.new("RGB", (3000, 1000), "red").save(tmp_path / "big.png")
    dataset = open_folder(tmp_path)
    text = contact_sheet(dataset, [0], "t")
    (shown,) = [attributes["src"] for tag, attributes in Page(text).elements if tag == "img"]
    with Image.open(io.BytesIO(base64.b64decode(shown.removeprefix("data:image/jpeg;base64,")))) as image:
        assert image.size == (THUMBNAIL_SIDE, round(THUMBNAIL_SIDE / 3))
    assert "3000 × 1000" in text
    assert len(text) < 10_000


def test_a_broken_image_is_shown_as_its_message(tmp_path):
    write_dataset(tmp_path, [record("a"), record("b", img_list=["three.png"])])
    (tmp_path / "two.png").write_bytes(b"nothing")
    page = Page(contact_sheet(open_folder(tmp_path), [0, 1], "t"))
    assert "two.png cannot be read as an image" in page.text
    assert len([tag for tag, _ in page.elements if tag == "img"]) == 1


def test_a_text_without_end_is_cut(tmp_path):
    text = page_of(tmp_path, [record("a", output="x" * 100_000)])
    assert "(100000 characters)" in text
    assert len(text) < 20_000


def test_which_samples():
    assert chosen_samples(3, 10, None) == [0, 1, 2]
    assert chosen_samples(30, 10, None) == list(range(10))
    some = chosen_samples(3, 100, 1)
    assert some == sorted(some) == chosen_samples(3, 100, 1) != chosen_samples(3, 100, 2)
    assert len(set(some)) == 3
