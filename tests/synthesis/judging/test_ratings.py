"""The files of raters: read, checked, united."""

import json

import pytest

from helpers.ratings import samples_digest, write_ratings
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.judging.ratings import Ratings, read_ratings, united

KNOWN = ("000000", "000001", "000002")


@pytest.fixture
def read(finished):
    return lambda *paths: read_ratings(paths, samples_digest(finished), KNOWN)


def test_ratings_of_two_are_read(read, finished, tmp_path):
    verdicts = {"000000": (True, True), "000002": (False, True)}
    first = write_ratings(tmp_path / "a.json", finished, "Ada", verdicts)
    second = write_ratings(tmp_path / "b.json", finished, " Ben ", {"000001": (True, False)})
    ada, ben = read(first, second)
    assert (ada.rater, ben.rater) == ("Ada", "Ben")
    assert ada.good["000000"] == {"images": True, "text": True, "sample": True}
    assert ada.good["000002"] == {"images": False, "text": True, "sample": False}
    assert ben.good == {"000001": {"images": True, "text": False, "sample": False}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "ratings 9"}, "format: found 'ratings 9'"),
        ({"samples": "0" * 64}, "of another data set"),
        ({"rater": " "}, "a rater's name"),
        ({"rater": 3}, "a rater's name"),
        ({"ratings": None}, "a list of ratings"),
        ({"ratings": [7]}, r"ratings\[0\]: found 7"),
        ({"ratings": [{"id": "000000", "images": 1, "text": True}]}, "true or false for images and text"),
        ({"ratings": [{"id": "000009", "images": True, "text": True}]}, "'000009', which the data set does not have"),
        ({"ratings": [{"id": "000000", "images": True, "text": True}] * 2}, r"ratings\[1\].*a second time"),
    ],
)
def test_a_strangers_ratings_are_one_clear_error(read, finished, tmp_path, changes, message):
    path = write_ratings(tmp_path / "a.json", finished, "Ada", {}, **changes)
    with pytest.raises(SamDataError, match=message):
        read(path)


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass")])
def test_what_is_no_file_of_ratings_is_one_clear_error(read, tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SamDataError, match=r"a\.json: .*Wanted the file that a page"):
        read(path)


def test_two_files_of_one_rater_are_refused(read, finished, tmp_path):
    paths = [write_ratings(tmp_path / f"{name}.json", finished, "Ada", {}) for name in "ab"]
    with pytest.raises(SamDataError, match=r"b\.json: found ratings of 'Ada'.*a\.json"):
        read(*paths)


def test_the_majority_decides_and_a_tie_decides_nothing():
    def one(rater, **good):
        return Ratings(rater, {name: {"images": value} for name, value in good.items()})

    good, divided = united([one("a", x=True, y=True, z=False), one("b", x=True, y=False), one("c", x=False)], "images")
    assert good == {"x": True, "z": False}
    assert divided == 1


def test_a_file_that_is_too_large_is_refused(read, tmp_path, monkeypatch):
    monkeypatch.setattr("lavis_sam.synthesis.judging.ratings._MOST_BYTES", 10)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"format": "x" * 20}))
    with pytest.raises(SamDataError, match="file too large"):
        read(path)
