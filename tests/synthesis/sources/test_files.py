"""Files of sources: every image becomes RGB, broken ones are named, paths stay inside."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from helpers.source_folders import save
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.sources import groups
from lavis_sam.synthesis.sources.files import inside, read_cutout, read_image, read_mask


@pytest.fixture(autouse=True)
def _everything_is_for_training(monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)


def test_every_kind_of_image_becomes_rgb(tmp_path):
    for name, mode, options in [
        ("grey.png", "L", {}),
        ("bits.png", "1", {}),
        ("deep.png", "I;16", {}),
        ("cmyk.jpg", "CMYK", {}),
        ("palette.png", "P", {}),
        ("alpha.png", "LA", {}),
        ("one.gif", "P", {}),
        ("a.webp", "RGBA", {}),
        ("b.tif", "RGB", {}),
        ("c.bmp", "RGB", {}),
    ]:
        save(tmp_path / name, mode, colour=(0 if mode not in ("CMYK", "RGB", "RGBA", "LA") else None) or 0, **options)
        image = read_image(tmp_path, name)
        assert (image.shape, image.dtype) == ((100, 80, 3), np.uint8), name


def test_images_stand_upright_and_transparent_ones_on_white(tmp_path):
    image = Image.new("RGB", (80, 100), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path, "turned.jpg").shape == (80, 100, 3)
    save(tmp_path / "clear.png", "RGBA", colour=(255, 0, 0, 0))
    assert read_image(tmp_path, "clear.png").min() == 255
    colour, alpha = read_cutout(tmp_path, "clear.png")
    assert colour[0, 0].tolist() == [255, 0, 0]
    assert alpha.max() == 0
    save(tmp_path / "opaque.jpg")
    assert read_cutout(tmp_path, "opaque.jpg")[1].min() == 1


def _cut_off(path):
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def _animated(path):
    frames = [Image.new("RGB", (80, 80), (k, 0, 0)) for k in (0, 100, 200)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def _bomb(path):
    Image.new("1", (40_000, 40_000)).save(path, "PNG")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_cut_off, "cannot be read as an image"),
        (_animated, r"animated \(3 frames\), wanted one image"),
        (_bomb, "pixels"),
        (lambda path: path.write_bytes(b""), "cannot be read as an image"),
        (lambda path: path.write_text("<svg/>"), "cannot be read as an image"),
        (lambda path: Image.new("RGB", (80, 20)).save(path, "PNG"), "80x20 pixels, wanted at least 64 a side"),
        (lambda path: path.mkdir(), "cannot be read as an image"),
        (lambda path: None, "cannot be read as an image"),
    ],
)
def test_a_broken_image_is_a_data_error_that_names_it(tmp_path, make, message):
    make(tmp_path / "broken.png")
    with pytest.raises(SamDataError, match=message) as error:
        read_image(tmp_path, "broken.png")
    assert str(error.value).startswith("broken.png")
    assert str(tmp_path) not in str(error.value), "rejections are the same wherever the source lies"


@pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "a/../../x", "link/x.png", "a\0b"])
def test_paths_stay_inside_the_source(tmp_path, path):
    os.symlink("/", tmp_path / "link")
    with pytest.raises(SamDataError, match=r"leaves the source|no file name"):
        inside(tmp_path, path)


def test_masks_have_the_images_size(tmp_path):
    save(tmp_path / "mask.png", "L", (10, 10))
    with pytest.raises(SamDataError, match=r"mask of \(10, 10\)"):
        read_mask(tmp_path, "mask.png", (100, 80, 3))


def test_read_mask_takes_the_alpha_of_a_transparent_image(tmp_path):
    """A white image whose alpha shows the object covered the whole of it once."""
    rgba = np.full((10, 8, 4), 255, np.uint8)
    rgba[:5, :, 3], rgba[5, :, 3] = 0, 51
    Image.fromarray(rgba).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path, "mask.png", (10, 8, 3))
    assert mask[:5].max() == 0
    assert mask[5] == pytest.approx(0.2)
    assert mask[6:].min() == 1


def test_read_mask_covers_what_a_white_transparent_mask_covers(tmp_path):
    """White everywhere; 20.8 % of it are not transparent."""
    for mode in ("RGBA", "LA"):
        mask = Image.new("RGBA", (24, 10), (255, 255, 255, 0))
        mask.paste((255, 255, 255, 255), (0, 0, 10, 5))
        mask.convert(mode).save(tmp_path / "mask.png")
        assert read_mask(tmp_path, "mask.png", (10, 24)).mean() == pytest.approx(0.208, abs=0.001)


@pytest.mark.parametrize(
    ("name", "kind", "numbers"),
    [("mask.png", "<u2", (0, 1, 65535)), ("mask.tif", ">u2", (0, 1, 65535)), ("mask.tif", "<f4", (0, 0.2, 1))],
)
def test_read_mask_takes_every_number_above_0(tmp_path, name, kind, numbers):
    mode = {"<u2": "I;16", ">u2": "I;16B", "<f4": "F"}[kind]
    Image.frombytes(mode, (3, 1), np.array([numbers], kind).tobytes()).save(tmp_path / name)
    assert read_mask(tmp_path, name, (1, 3)).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_read_image_and_read_cutout_keep_the_shades_of_16_bits(tmp_path, mode):
    shades = np.tile(np.array([0, 256, 0x8000, 0xFFFF], np.uint16 if mode == "I;16" else np.int32).repeat(20), (80, 1))
    Image.fromarray(shades).save(tmp_path / "deep.tif")
    for image in (read_image(tmp_path, "deep.tif"), read_cutout(tmp_path, "deep.tif")[0]):
        assert image[0, ::20, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "RGBA"])
def test_read_mask_takes_every_label_above_0_of_an_opaque_image(tmp_path, mode):
    labels = np.zeros((10, 8), np.uint16 if mode == "I;16" else np.uint8)
    labels[2:4] = 3
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette([0, 0, 0] * 256)
    (image.point(lambda value: value * 80).convert("RGBA") if mode == "RGBA" else image).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path, "mask.png", (10, 8, 3))
    assert mask.sum() == 16
    assert mask[2:4].min() == 1
