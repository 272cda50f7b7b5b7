"""Pictures are opened as RGB, upright, or refused by name."""

import pytest
from PIL import Image, ImageFile

from lavis_sam.datasets.images import load_image
from lavis_sam.errors import SamDataError


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new(mode, (6, 4)).save(tmp_path / "picture.png")
    picture = load_image(tmp_path / "picture.png", "s")
    assert (picture.mode, picture.size) == ("RGB", (6, 4))


def test_exif_rotation_is_applied(tmp_path):
    picture = Image.new("RGB", (6, 4))
    picture.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = load_image(tmp_path / "turned.png", "s")
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (255, 255, 255)


@pytest.mark.parametrize("content", [b"", b"not a picture", "cut"], ids=["empty", "text", "cut off"])
def test_damaged_pictures_name_file_and_sample(tmp_path, monkeypatch, content):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as LAVIS leaves it
    path = tmp_path / "picture.png"
    if content == "cut":
        Image.effect_noise((64, 64), 50).save(path)
        content = path.read_bytes()[:500]
    path.write_bytes(content)
    with pytest.raises(SamDataError, match=r"sample 'cat-1'.*picture\.png"):
        load_image(path, "cat-1")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_missing_picture_names_file_and_sample(tmp_path):
    with pytest.raises(SamDataError, match=r"sample 3: .*gone\.png"):
        load_image(tmp_path / "gone.png", 3)
