"""What `lavis-sam caption` is asked about: folders, patterns and lists, checked before anything is loaded."""

import io
import sys

import pytest
from PIL import Image

from lavis_sam.cli.caption_inputs import each_sample, one_sample
from lavis_sam.errors import SamDataError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two folders of images, a file that is no image, and a folder without any."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/2.png", "a/10.png", "b c/1.jpg", "none/readme.txt", "broken/1.png", "phone/1.jpg", "phone/2.HEIC"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix in (".txt", ".HEIC") or "broken" in name:
            path.write_text("no image")
        else:
            Image.new("RGB", (4, 3)).save(path)
    return tmp_path


def named(samples):
    return [(sample.name, sample.images) for sample in samples]


@pytest.mark.parametrize(
    ("words", "images"),
    [
        (["a"], ("a/2.png", "a/10.png")),
        (["a/*.png"], ("a/2.png", "a/10.png")),
        (["a/10.png", "b c"], ("a/10.png", "b c/1.jpg")),
        (["**/1.jpg", "a/2.png"], ("b c/1.jpg", "phone/1.jpg", "a/2.png")),
    ],
)
def test_caption_inputs_of_one_sample(folder, words, images):
    assert one_sample(words).images == images


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "gone.png"], "gone.png: there is no such file"),
        (["gone/*.png"], r"gone/\*\.png: there is no such file"),
        (["none"], "none: found no image in this folder"),
        (["phone"], r"phone: 1 image\(s\) that cannot be read, such as 2.HEIC"),
        (["a", "broken/1.png"], "broken/1.png: unreadable image"),
    ],
)
def test_caption_inputs_that_are_wrong_are_one_error(folder, words, message):
    with pytest.raises(SamDataError, match=message):
        one_sample(words)


def test_caption_inputs_of_each_folder_and_image(folder):
    samples = each_sample(["a", "b*", "a/2.png"])
    assert named(samples) == [
        ("a", ("a/2.png", "a/10.png")),
        ("b c", ("b c/1.jpg",)),
        ("broken", ("broken/1.png",)),
        ("a/2.png", ("a/2.png",)),
    ]
    assert [sample.error is None for sample in samples] == [True, True, False, True]


def test_caption_inputs_of_each_line(folder, monkeypatch):
    (folder / "list.txt").write_text("\ufeffa\n\n'b c/1.jpg' a/2.png\n'a\n none \n")
    samples = each_sample(["list.txt"])
    assert named(samples)[:2] == [("a", ("a/2.png", "a/10.png")), ("'b c/1.jpg' a/2.png", ("b c/1.jpg", "a/2.png"))]
    assert "No closing quotation" in samples[2].error
    assert "found no image" in samples[3].error
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
    assert named(each_sample(["-"])) == named(samples[:1])


def test_caption_inputs_without_a_sample_are_an_error(folder):
    (folder / "list.txt").write_text("\n")
    with pytest.raises(SamDataError, match="found no sample"):
        each_sample(["list.txt"])
    with pytest.raises(SamDataError, match="cannot be read as a list"):
        each_sample(["gone.txt"])
