"""Images are opened as RGB, upright, or refused by name."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from lavis_sam.datasets.images import MAX_PIXELS, decode_image, load_image, to_rgb
from lavis_sam.errors import SamDataError


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new(mode, (6, 4)).save(tmp_path / "picture.png")
    image = load_image(tmp_path / "picture.png", "s")
    assert (image.mode, image.size) == ("RGB", (6, 4))


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (6, 4))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = load_image(tmp_path / "turned.png", "s")
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (255, 255, 255)


@pytest.mark.parametrize("content", [b"", b"not an image", "cut"], ids=["empty", "text", "cut off"])
def test_damaged_images_name_file_and_sample(tmp_path, monkeypatch, content):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as LAVIS leaves it
    path = tmp_path / "picture.png"
    if content == "cut":
        Image.effect_noise((64, 64), 50).save(path)
        content = path.read_bytes()[:500]
    path.write_bytes(content)
    with pytest.raises(SamDataError, match=r"sample 'cat-1'.*picture\.png"):
        load_image(path, "cat-1")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_missing_image_names_file_and_sample(tmp_path):
    with pytest.raises(SamDataError, match=r"sample 3: .*gone\.png"):
        load_image(tmp_path / "gone.png", 3)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation(orientation):
    """The eight ways to store one upright image."""
    upright = Image.fromarray(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14)
    undo = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in undo[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_image(saved(stored, "PNG", exif=exif), "x"), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_says_nothing_about_the_pixels():
    image = Image.effect_noise((16, 16), 60).convert("RGB")
    data = saved(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff damaged")
    assert decode_image(data, "x").size == (16, 16)


def test_transparent_pixels_show_white():
    """Whatever colour is stored under them."""
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0] = [(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)]
    found = np.asarray(decode_image(saved(Image.fromarray(pixels), "PNG"), "x"))
    assert found[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]


def test_transparency_of_greyscale_and_palette():
    grey = Image.new("LA", (1, 1), (10, 0))
    assert to_rgb(grey).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    found = decode_image(saved(palette, "PNG", transparency=0), "x")
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test_cmyk():
    found = decode_image(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95), "x")
    assert found.mode == "RGB"
    assert found.getpixel((4, 4)) == pytest.approx((255, 0, 0), abs=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greyscale_keeps_its_shades(kind):
    """Pillow alone would make everything above 255 of 65535 white."""
    grey = Image.fromarray(np.array([[0, 256, 0x8000, 0xFFFF]], dtype=np.uint16))
    found = np.asarray(decode_image(saved(grey, kind), "x"))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert decode_image(data, "x").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("size", "complaint"),
    [((9500, 9500), "90250000 pixels, "), ((20_000, 20_000), "exceeds limit of")],
)
def test_decompression_bombs_are_refused_with_the_limit(tmp_path, size, complaint):
    Image.new("1", size).save(tmp_path / "bomb.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(SamDataError, match=rf"bomb\.png.*{complaint}.*wanted at most {MAX_PIXELS}"):
            load_image(tmp_path / "bomb.png", "s")


def test_formats_that_start_programs_are_refused(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(SamDataError, match="cannot identify image file"):
        load_image(tmp_path / "x.jpg", "s")


@pytest.mark.parametrize("name", ["Größe 猫.JPG", "with space.PnG", "no_extension"])
def test_odd_names(tmp_path, name):
    Image.new("RGB", (3, 2), "red").save(tmp_path / name, format="PNG")
    assert load_image(tmp_path / name, "s").size == (3, 2)
