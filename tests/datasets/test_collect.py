"""Folders of images with a text become samples; what does not is said."""

import os
from pathlib import Path

import pytest
from PIL import Image

from lavis_sam.datasets.collect import collect_folder
from lavis_sam.datasets.formats.image_folder import ImageFolder
from lavis_sam.errors import SamDataError


def fill(root, folder, images, caption="A cat.", **texts):
    path = root / folder
    path.mkdir(parents=True, exist_ok=True)
    for name in images:
        Image.new("RGB", (3, 2)).save(path / name, format="PNG")
    if caption is not None:
        (path / "caption.txt").write_text(caption, encoding="utf-8")
    for name, text in texts.items():
        (path / f"{name}.txt").write_text(text, encoding="utf-8")


def found(root):
    return [(s.id, s.images, s.instruction, s.output, s.references) for s in collect_folder(root, "What?").samples]


def test_samples(tmp_path):
    fill(tmp_path, "b", ["10.png", "2.JPG", "a.webp", "notes.png.txt"[:9]], "\ufeffOne.\r\n\r\n  Two. \n")
    fill(tmp_path, "a/inner", ["x y.png"], "Größe 猫", instruction="Asked\ndifferently?")
    (tmp_path / "b" / "readme.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    Image.new("RGB", (1, 1)).save(tmp_path / ".hidden" / "x.png")
    assert found(tmp_path) == [
        ("a/inner", ("a/inner/x y.png",), "Asked\ndifferently?", "Größe 猫", ("Größe 猫",)),
        ("b", ("b/2.JPG", "b/10.png", "b/a.webp", "b/notes.png"), "What?", "One.. Two.", ("One.", "Two.")),
    ]


def test_folders_are_ordered_by_number(tmp_path):
    for name in ("s10", "s9", "S1"):
        fill(tmp_path, name, ["a.png"])
    assert [sample[0] for sample in found(tmp_path)] == ["S1", "s9", "s10"]


def test_problems(tmp_path):
    fill(tmp_path, "good", ["a.png"])
    fill(tmp_path, "no_text", ["a.png"], caption=None)
    fill(tmp_path, "empty_text", ["a.png"], caption=" \n")
    fill(tmp_path, "broken", ["a.png"])
    (tmp_path / "broken" / "a.png").write_bytes(b"?")
    fill(tmp_path, "latin", ["a.png"])
    (tmp_path / "latin" / "caption.txt").write_bytes("Größe".encode("latin-1"))
    fill(tmp_path, "huge", ["a.png"], caption="x" * (2**20 + 1))
    fill(tmp_path, ".", ["loose.png"], caption=None)
    report = collect_folder(tmp_path, "What?")
    assert [sample.id for sample in report.samples] == ["good"]
    said = {problem.message for problem in report.problems}
    assert "caption.txt is missing" in said
    assert "caption.txt is empty" in said
    assert any("not UTF-8" in text for text in said)
    assert any("more than 1048576 bytes" in text for text in said)
    assert any("such as loose.png" in text for text in said)
    assert {problem.kind for problem in report.problems} == {"no text", "no sample's folder", "unreadable image"}
    assert report.dropped == 6


def test_no_image_is_lost_in_silence(tmp_path):
    """An image that is not read is left out and told, and the sample goes on with its others, if it has any."""
    fill(tmp_path, "good", ["a.png"])
    fill(tmp_path, "telephone", ["a.png", "IMG_10.HEIC", "IMG_9.HEIC"])
    fill(tmp_path, "raw", ["IMG_1.dng"])
    fill(tmp_path, "nothing", [])
    fill(tmp_path, "outer/good too", ["a.png"])  # outer itself has neither text nor image
    fill(tmp_path, "good", [".thumbnail.heic"])
    fill(tmp_path, ".", [], caption="Not a sample's.")
    report = collect_folder(tmp_path, "What?")
    samples = {sample.id: sample.images for sample in report.samples}
    assert samples == {
        "good": ("good/a.png",),
        "outer/good too": ("outer/good too/a.png",),
        "telephone": ("telephone/a.png",),
    }
    found = {Path(problem.place).name: (problem.kind, problem.message.split(";")[0]) for problem in report.problems}
    assert found == {
        "telephone": (
            "other image format",
            "2 image(s) that cannot be read, such as IMG_9.HEIC, the sample goes on without",
        ),
        "raw": ("other image format", "1 image(s) that cannot be read, such as IMG_1.dng, and there is no other"),
        "nothing": ("no images", "caption.txt without an image"),
    }
    assert all(".jpg" in problem.message for problem in report.problems)
    assert report.dropped == 2


def test_links_to_folders_are_told(tmp_path):
    fill(tmp_path / "elsewhere", "cat", ["a.png"])
    fill(tmp_path / "data", "good", ["a.png"])
    (tmp_path / "data" / "good" / "more").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "link").symlink_to(tmp_path / "data")  # the root itself may be one
    report = collect_folder(tmp_path / "link", "What?")
    assert [sample.id for sample in report.samples] == ["good"]
    assert [(p.kind, p.place) for p in report.problems] == [("linked folder", str(tmp_path / "link/good/more"))]


@pytest.mark.parametrize("make", [lambda root: None, lambda root: fill(root, ".", ["a.png"])])
def test_no_sample_at_all(tmp_path, make):
    make(tmp_path)
    with pytest.raises(SamDataError, match=r"found no folder with images and caption\.txt in it"):
        collect_folder(tmp_path, "What?")


def test_wrong_arguments(tmp_path):
    with pytest.raises(SamDataError, match="there is no such folder"):
        collect_folder(tmp_path / "gone", "What?")
    with pytest.raises(SamDataError, match="found an empty text"):
        collect_folder(tmp_path, " ")


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_an_empty_one(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SamDataError, match=r"locked: cannot be listed \(Permission denied\)\. Check that"):
        collect_folder(tmp_path, "What do the images share?")
    with pytest.raises(SamDataError, match="locked: cannot be listed"):
        ImageFolder(tmp_path).find(["missing.jpg"])
