"""Looking at images: what each depth finds, and what is refused before it is decoded."""

import io
import os
import struct
import time
import zlib

import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile

from helpers.release_parts import cut_off, write_image
from lavis_sam.datasets.image_check import ImageCheck, inspect_images
from lavis_sam.datasets.images import MAX_PIXELS, to_rgb
from lavis_sam.errors import SamConfigurationError, SamDataError

FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]


def bomb(width: int, height: int) -> bytes:
    """A PNG of some bytes that claims to be huge, and would unpack to it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 60).convert("RGB").save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("check", ["quick", "full"])
@pytest.mark.parametrize("kind", FORMATS)
def test_whole_and_cut_off(tmp_path, kind, check):
    content = encoded(kind)
    (tmp_path / "whole").write_bytes(content)
    (tmp_path / "trailed").write_bytes(content + b"\0" * 500)  # rubbish behind the end does no harm
    (tmp_path / "cut").write_bytes(content[: len(content) * 2 // 3])
    images = ImageCheck(tmp_path, check)
    assert images.problem("whole") is None
    assert images.problem("trailed") is None
    kind_of_problem, message = images.problem("cut")
    assert kind_of_problem == "unreadable image"
    assert message


def test_the_end_of_an_embedded_thumbnail_is_not_the_end(tmp_path):
    thumbnail = io.BytesIO()
    Image.new("RGB", (8, 8)).save(thumbnail, format="JPEG")
    image_bytes = io.BytesIO()
    Image.effect_noise((64, 48), 60).save(image_bytes, format="JPEG", comment=thumbnail.getvalue())
    (tmp_path / "cut.jpg").write_bytes(image_bytes.getvalue()[:-500])
    assert ImageCheck(tmp_path, "quick").problem("cut.jpg")[0] == "unreadable image"


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"])
def test_no_images(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    assert ImageCheck(tmp_path).problem("x.jpg")[0] == "unreadable image"


def test_hidden_damage_is_found_by_decoding_only(tmp_path):
    content = bytearray(encoded("PNG"))
    content[len(content) // 2] ^= 255
    (tmp_path / "x.png").write_bytes(content)
    assert ImageCheck(tmp_path, "quick").problem("x.png") is None
    assert ImageCheck(tmp_path, "full").problem("x.png")[0] == "unreadable image"


def test_paths_alone_open_nothing(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no image")
    assert ImageCheck(tmp_path, "paths").problem("x.jpg") is None
    assert ImageCheck(tmp_path, "paths").problem("y.jpg")[0] == "missing image"


# Below Pillow's own limit, between its warning and its error, and above both.
@pytest.mark.parametrize(("width", "height"), [(MAX_PIXELS // 10 + 1, 10), (10_000, 10_000), (60_000, 60_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_refused_with_the_limit_named(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(bomb(width, height))
    for check in ("quick", "full"):
        kind, message = ImageCheck(tmp_path, check).problem("bomb.png")
        assert kind == "absurd pixel count"
        assert str(MAX_PIXELS) in message
    with pytest.raises(SamDataError, match=r"bomb\.png.*pixels"):
        to_rgb(tmp_path / "bomb.png", "sample 1")


def test_the_largest_bearable_size_is_not_refused(tmp_path):
    (tmp_path / "large.png").write_bytes(bomb(MAX_PIXELS // 5, 5))
    assert ImageCheck(tmp_path, "quick").problem("large.png") is None


def test_lavis_setting_does_not_hide_cut_off_images(tmp_path, monkeypatch):
    """LAVIS tells Pillow to fill what is missing; with many threads, too, and the setting is as before afterwards."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    names = [f"{k}.jpg" for k in range(200)]
    for name in names:
        (cut_off if int(name[:-4]) % 3 == 0 else write_image)(tmp_path / name)
    images = ImageCheck(tmp_path, "full")
    images.look_at(names)
    for k, name in enumerate(names):
        assert (images.problem(name) is not None) == (k % 3 == 0)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_every_image_is_looked_at_once(tmp_path):
    write_image(tmp_path / "a.png")
    images = ImageCheck(tmp_path)
    assert images.problem("a.png") is None
    (tmp_path / "a.png").unlink()
    images.look_at(["a.png"] * 3)
    assert images.problem("a.png") is None


@pytest.mark.parametrize("path", ["..", "../a.png", "a/../a.png", "/a.png", "sub/../../a.png"])
def test_dots_and_absolute_paths_are_refused(tmp_path, path):
    write_image(tmp_path / "a.png")
    (tmp_path / "a").mkdir()
    assert ImageCheck(tmp_path, "paths").problem(path)[0] == "path leaves the root"


def test_links_out_of_the_root_are_refused(tmp_path):
    root = tmp_path / "root"
    write_image(root / "in.png")
    write_image(tmp_path / "out" / "x.png")
    os.symlink(tmp_path / "out" / "x.png", root / "file.png")
    os.symlink(tmp_path / "out", root / "folder")
    os.symlink(tmp_path / "root", tmp_path / "other name")
    images = ImageCheck(root)
    assert images.problem("file.png")[0] == "path leaves the root"
    assert images.problem("folder/x.png")[0] == "path leaves the root"
    assert ImageCheck(tmp_path / "other name").problem("in.png") is None  # the root itself may be a link


def test_a_root_of_everything(tmp_path):
    write_image(tmp_path / "a.png")
    assert ImageCheck("/").problem(str(tmp_path / "a.png")[1:]) is None


def test_special_files_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    assert ImageCheck(tmp_path).problem("pipe.png") == ("missing image", f"not a file under {tmp_path}")


def test_unknown_depth(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"unknown check 'deep'.*full, paths, quick"):
        ImageCheck(tmp_path, "deep")


def test_nothing_to_look_at():
    assert inspect_images([], full=True) == []


@pytest.mark.parametrize(("limit", "alone"), [(100, True), (64 * 48 - 1, True), (64 * 48, False)])
def test_inspect_images_decodes_large_images_one_at_a_time(tmp_path, monkeypatch, limit, alone):
    """Of as many as are looked at by several threads."""
    paths = [str(tmp_path / f"{number}.png") for number in range(64)]
    for path in paths:
        (tmp_path / path).write_bytes(encoded("PNG"))
    at_once, most, load = [], [0], PngImageFile.load

    def counted(image):
        at_once.append(image)
        most[0] = max(most[0], len(at_once))
        time.sleep(0.002)
        load(image)
        at_once.pop()

    monkeypatch.setattr("lavis_sam.datasets.image_check._LARGE_PIXELS", limit)
    monkeypatch.setattr(PngImageFile, "load", counted)
    assert inspect_images(paths, full=True) == [None] * 64
    assert (most[0] == 1) == alone
