"""Images are found under names that differ a little."""

import pytest

from helpers.release_parts import write_images
from lavis_sam.datasets.formats.image_folder import ImageFolder


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("a/p.jpg", "a/p.jpg"),
        ("./a//p.jpg", "a/p.jpg"),
        ("p.png", "b/p.PNG"),  # the extension that was asked for, in either case
        ("p.gif", "a/p.jpg"),  # any extension: the shortest way, then the order of the alphabet
        ("P.jpg", "a/p.jpg"),
        ("x/y/q.jpg", "x/y/q.jpeg"),
        ("cafe\u0301.jpg", "c/caf\u00e9.jpg"),  # the two Unicode forms of one letter
        ("dir.with.dots/r.jpg", "dir.with.dots/r.jpg"),
        ("version1.2", "version1.2.jpg"),
        ("nowhere.jpg", "nowhere.jpg"),
        ("../a/p.jpg", "../a/p.jpg"),
        ("/a/p.jpg", "/a/p.jpg"),
        ("a\0.jpg", "a\0.jpg"),
    ],
)
def test_finding_images(tmp_path, wanted, found):
    names = [
        "a/p.jpg",
        "b/p.PNG",
        "b/c/p.jpg",
        "x/y/q.jpeg",
        "c/caf\u00e9.jpg",
        "dir.with.dots/r.jpg",
        "version1.2.jpg",
    ]
    write_images(tmp_path, *names, ".hidden/p.gif")
    (tmp_path / "a" / "p.txt").write_text("no image")
    assert ImageFolder(tmp_path).find([wanted]) == (found,)


def test_the_first_name_that_is_there(tmp_path):
    write_images(tmp_path, "b.jpg", "c.jpg")
    assert ImageFolder(tmp_path).find(["a.jpg", "b.jpg"], ["c.jpg", "b.jpg"]) == ("b.jpg", "c.jpg")
