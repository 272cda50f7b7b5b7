"""Images are read as upright RGB, the same as path, bytes, PIL image, array and tensor, or refused by name."""

import contextlib
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

import lavis_sam
from helpers.fuzzing import limited_memory
from lavis_sam.datasets.images import MAX_PIXELS, image_tensor, is_image_start, open_image, to_rgb, to_rgba
from lavis_sam.errors import SamDataError

PHOTOGRAPHS = Path(lavis_sam.__path__[0]) / "assets" / "photographs"
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM")
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
MODES += ("I", "I;16", "I;16L", "I;16B", "F")
# Modes whose arrays say what they hold; those of the others look like RGB, RGBA or grey.
TELLING = ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "F")


def image_of(mode):
    """6 x 5 random pixels of a mode, some of them transparent where it can say so."""
    bytes_ = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    bytes_[0, :3, 1] = bytes_[0, :3, 3] = 0
    grey = bytes_[..., 0]
    if mode in ("P", "PA"):
        return Image.fromarray(bytes_[..., :3]).quantize(8).convert(mode)
    if mode in ("La", "RGBa"):
        return image_of(mode.upper()).convert(mode)
    if mode == "1":
        return Image.fromarray(grey > 127)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode == "I":
        return Image.fromarray(grey.astype(np.int32) * 257)
    if mode.startswith("I;16"):
        order = ">" if mode.endswith("B") else "<"
        return Image.frombytes(mode, (6, 5), (grey.astype(np.uint16) * 257).astype(f"{order}u2").tobytes())
    channels = {"L": 1, "LA": 2, "RGBA": 4, "RGBX": 4, "CMYK": 4}.get(mode, 3)
    return Image.frombytes(mode, (6, 5), bytes_[..., :channels].tobytes())


def pixels(value):
    return np.asarray(to_rgb(value, "x"))


def is_written(mode, kind):
    """Whether Pillow writes images of that mode to that format."""
    try:
        image_of(mode).save(io.BytesIO(), kind)
    except (OSError, ValueError, KeyError):
        return False
    return True


WRITTEN = [(mode, kind) for mode in MODES for kind in FORMATS if is_written(mode, kind)]


@pytest.mark.parametrize(("mode", "kind"), WRITTEN)
def test_to_rgb_gives_the_same_pixels_by_path_bytes_object_array_and_tensor(tmp_path, mode, kind):
    path = tmp_path / "image"
    image_of(mode).save(path, kind)
    wanted = pixels(path)
    assert wanted.shape == (5, 6, 3)
    # Where Pillow converts to write, it clips 16-bit greys and floats; that is not ours to mend.
    assert wanted.std() > 20 or Image.open(path).mode != mode
    assert np.array_equal(pixels(path.read_bytes()), wanted)
    assert np.array_equal(pixels(Image.open(path)), wanted)
    with Image.open(path) as closed:
        closed.load()
    assert np.array_equal(pixels(closed), wanted)
    stored = Image.open(path)
    array = np.asarray(stored if stored.mode in TELLING else to_rgba(stored, "x"))
    assert np.array_equal(pixels(array), wanted)
    assert np.array_equal(pixels(torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))), wanted)
    assert torch.equal(image_tensor(to_rgb(path, "x"), 8), image_tensor(to_rgb(array, "x"), 8))


@pytest.mark.parametrize("mode", MODES)
def test_to_rgb_gives_the_same_pixels_by_object_and_array(mode):
    image = image_of(mode)
    array = np.asarray(image if mode in TELLING else to_rgba(image, "x"))
    assert np.array_equal(pixels(image), pixels(array))
    if mode in TELLING and "A" not in mode:
        wanted = np.asarray(image_of("L" if mode != "RGB" else "RGB").convert("RGB"))
        wanted = wanted if mode != "1" else (wanted > 127) * 255
        assert np.array_equal(pixels(image), wanted)


def png_with_transparency(array, colour_type, transparent):
    """A 16-bit PNG with a tRNS chunk, which Pillow reads but does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(("mode", "transparent"), [("1", 1), ("L", 7), ("RGB", (7, 8, 9)), ("P", 0)])
def test_to_rgb_lays_a_transparent_shade_on_white(mode, transparent):
    image = Image.new(mode, (2, 1), transparent if mode != "1" else 255)
    if mode == "P":
        image.putpalette([1, 2, 3, 4, 5, 6])
    image.putpixel((1, 0), 1 if mode == "P" else (1, 1, 1) if mode == "RGB" else 0)
    data = saved(image, "PNG", transparency=transparent)
    assert pixels(data)[0, 0].tolist() == [255, 255, 255]
    assert pixels(data)[0, 1].max() < 7
    assert np.array_equal(pixels(Image.open(io.BytesIO(data))), pixels(data))


def test_to_rgb_lays_a_transparent_16_bit_shade_on_white():
    data = png_with_transparency(np.array([[700, 40_000]]), 0, struct.pack(">H", 700))
    assert pixels(data)[0].tolist() == [[255, 255, 255], [156, 156, 156]]
    assert np.array_equal(pixels(Image.open(io.BytesIO(data))), pixels(data))


@pytest.mark.parametrize(
    ("numbers", "shades"),
    [
        (np.array([[0, 0.25, 1]], np.float32), [0, 64, 255]),
        (np.array([[0, 0.25, 1.0000001]], np.float32), [0, 64, 255]),
        (np.array([[0, 64, 255]], np.float32), [0, 64, 255]),
        (np.array([[0, 64, 255]], np.int32), [0, 64, 255]),
        (np.array([[0, 256, 0x8000, 0xFFFF]], np.int32), [0, 1, 128, 255]),
        (np.array([[0, 256, 0x8000, 0xFFFF]], np.uint16), [0, 1, 128, 255]),
    ],
)
def test_to_rgb_keeps_the_shades_of_numbers(tmp_path, numbers, shades):
    Image.fromarray(numbers).save(tmp_path / "grey.tif")
    torch_numbers = torch.from_numpy(numbers)
    values = [tmp_path / "grey.tif", (tmp_path / "grey.tif").read_bytes(), Image.fromarray(numbers), numbers]
    for value in (*values, torch_numbers, torch_numbers.float() if max(shades) == numbers.max() else torch_numbers):
        assert pixels(value)[0, :, 0].tolist() == shades


@pytest.mark.parametrize("start", [b"", bytes(16), b"%!PS-Adobe-3.0 EPSF", b"\x1f\x8b" + bytes(14), b"no image"])
def test_is_image_start_knows_every_format_by_its_first_bytes(start):
    assert not is_image_start(start)
    for kind in FORMATS:
        assert is_image_start(saved(image_of("RGB"), kind)[:16]), kind


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_to_rgb_holds_a_large_image_twice_at_most(tmp_path, mode):
    """4096 x 4096 pixels take 64 MiB with four channels."""
    image = Image.new(mode, (4096, 4096))
    image.save(tmp_path / "large.png", **({"transparency": 0} if mode == "P" else {}))
    del image
    with limited_memory(150):
        assert to_rgb(tmp_path / "large.png", "x").getpixel((4095, 4095)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("array", "colour"),
    [
        (np.full((4, 5), 7, np.uint8), 7),
        (np.full((4, 5, 1), 7, np.uint8), 7),
        (np.full((3, 4, 5), 7, np.uint8), 7),
        (np.full((4, 5, 4), (7, 7, 7, 255), np.uint8), 7),
        (np.full((4, 5, 4), (7, 7, 7, 0), np.uint8), 255),
        (np.full((4, 5, 2), (7, 0), np.uint8), 255),
        (np.full((4, 5, 3), 0.5), 128),
        (np.full((4, 5, 3), 0.5, np.float16), 128),
        (np.full((4, 5, 3), 1.003), 255),
        (np.full((4, 5, 3), -0.003), 0),
        (np.full((4, 5, 3), 200.4), 200),
        (np.full((4, 5, 3), 200), 200),
        (np.full((4, 5), 40_000), 156),
        (np.full((4, 5), 40_000, np.uint16), 156),
        (np.full((4, 5), 40_000, ">u2"), 156),
        (np.full((4, 5), 200, np.uint16), 1),
        (np.full((4, 5), True), 255),
        (torch.full((3, 4, 5), 0.5, dtype=torch.bfloat16), 128),
        (torch.full((3, 4, 5), 0.5, dtype=torch.float16, requires_grad=True), 128),
        (torch.full((4, 5, 3), 7, dtype=torch.uint8), 7),
    ],
    ids=lambda value: f"{value.dtype}-{'x'.join(map(str, value.shape))}" if hasattr(value, "dtype") else None,
)
def test_to_rgb_reads_arrays_of_all_layouts_and_types(array, colour):
    image = to_rgb(array, "x")
    assert (image.size, image.getpixel((0, 0))) == ((5, 4), (colour,) * 3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "image 2 is a int (3)"),
        (np.zeros((2, 2, 5), np.uint8), "image 2: found an array (2, 2, 5)"),
        (np.zeros((0, 2, 3), np.uint8), "found an array (0, 2, 3)"),
        (np.full((2, 2), -1), "found integers from -1 to -1"),
        (np.full((2, 2), 65_536), "found integers from 65536 to 65536"),
        (np.full((2, 2), 300.0), "found floats from 300 to 300"),
        (np.full((2, 2), -0.5), "found floats from -0.5 to -0.5"),
        (np.full((2, 2), np.nan), "found floats from nan to nan"),
        (np.full((2, 2), 1j), "found numbers of type complex128"),
        (Image.fromarray(np.full((2, 2), 300, np.float32)), "found floats from 300 to 300"),
        (b"no image", "image 2 cannot be read as an image"),
    ],
)
def test_to_rgb_names_what_it_refuses(value, words):
    with pytest.raises(SamDataError) as error:
        to_rgb(value, "image 2")
    assert words in str(error.value)


@pytest.mark.parametrize("form", ["array", "object", "tensor"])
def test_to_rgb_refuses_absurd_sizes_of_objects_and_arrays(monkeypatch, form):
    monkeypatch.setattr("lavis_sam.datasets.images.MAX_PIXELS", 100)
    array = np.zeros((20, 20, 3), np.uint8)
    value = {"array": array, "object": Image.fromarray(array), "tensor": torch.from_numpy(array)}[form]
    with pytest.raises(SamDataError, match="400 pixels, wanted at most 100"):
        to_rgb(value, "x")


def test_image_tensor_gives_the_numbers_of_lavis():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lavis.processors.blip_processors import BlipImageEvalProcessor
    for path in sorted(PHOTOGRAPHS.glob("*.jpg"))[:2]:
        image = to_rgb(path, "x")
        torch.testing.assert_close(image_tensor(image, 56), BlipImageEvalProcessor(56)(image), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new(mode, (6, 4)).save(tmp_path / "image.png")
    image = to_rgb(tmp_path / "image.png", "s")
    assert (image.mode, image.size) == ("RGB", (6, 4))


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (6, 4))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = to_rgb(tmp_path / "turned.png", "s")
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (255, 255, 255)


@pytest.mark.parametrize("content", [b"", b"not an image", "cut"], ids=["empty", "text", "cut off"])
def test_damaged_images_name_file_and_sample(tmp_path, monkeypatch, content):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as LAVIS leaves it
    path = tmp_path / "image.png"
    if content == "cut":
        Image.effect_noise((64, 64), 50).save(path)
        content = path.read_bytes()[:500]
    path.write_bytes(content)
    with pytest.raises(SamDataError, match=r"sample 'cat-1'.*image\.png"):
        to_rgb(path, "sample 'cat-1'")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def png_with(tmp_path, *, chunk, at, byte):
    """A PNG file whose first chunk of a name has one byte of its own; `at` counts from that name."""
    path = tmp_path / "image.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.effect_noise((64, 64), 50).save(path, exif=exif)
    content = bytearray(path.read_bytes())
    content[content.index(chunk) + at] = byte
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("filled", [False, True], ids=["Pillow's own", "as LAVIS leaves it"])
@pytest.mark.parametrize(("chunk", "at"), [(b"eXIf", 5), (b"IHDR", 16)])
def test_a_damaged_block_is_refused_whether_lavis_was_imported_or_not(tmp_path, monkeypatch, filled, chunk, at):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", filled)
    path = png_with(tmp_path, chunk=chunk, at=at, byte=0xFE)
    for image in (path, path.read_bytes()):
        with pytest.raises(SamDataError, match="cannot identify image file: its start is none of JPEG, PNG") as caught:
            to_rgb(image, "s")
        assert " at 0x" not in str(caught.value)


@pytest.mark.parametrize("first", [0x10, 0x7F], ids=["268 MB", "2 GB"])
def test_a_length_beyond_the_file_takes_no_memory(tmp_path, first):
    path = png_with(tmp_path, chunk=b"IDAT", at=-4, byte=first)
    asked = []

    class Counted(io.FileIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    with Counted(path) as file, open_image(file) as image, contextlib.suppress(OSError, SyntaxError):
        image.load()
    assert asked
    assert max(asked) <= path.stat().st_size


def test_a_missing_image_names_file_and_sample(tmp_path):
    with pytest.raises(SamDataError, match=r"sample 3: .*gone\.png"):
        to_rgb(tmp_path / "gone.png", "sample 3")


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
    data = saved(stored, "PNG", exif=exif)
    assert np.array_equal(pixels(data), upright)
    assert np.array_equal(pixels(Image.open(io.BytesIO(data))), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_says_nothing_about_the_pixels():
    image = Image.effect_noise((16, 16), 60).convert("RGB")
    data = saved(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff damaged")
    assert to_rgb(data, "x").size == (16, 16)
    assert np.array_equal(pixels(Image.open(io.BytesIO(data))), pixels(data))


def test_damage_beside_the_orientation_does_not_keep_an_image_lying():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x9286] = b"comment"
    data = saved(Image.new("RGB", (6, 4)), "JPEG", exif=exif.tobytes().replace(b"comment", b"\xff" * 7))
    assert to_rgb(data, "x").size == (4, 6)


def test_transparent_pixels_show_white():
    """Whatever colour is stored under them."""
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0] = [(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)]
    found = np.asarray(to_rgb(saved(Image.fromarray(pixels), "PNG"), "x"))
    assert found[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]


def test_transparency_of_greyscale_and_palette():
    grey = Image.new("LA", (1, 1), (10, 0))
    assert to_rgb(grey, "x").getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    found = to_rgb(saved(palette, "PNG", transparency=0), "x")
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test_cmyk():
    found = to_rgb(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95), "x")
    assert found.mode == "RGB"
    assert found.getpixel((4, 4)) == pytest.approx((255, 0, 0), abs=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greyscale_keeps_its_shades(kind):
    """Pillow alone would make everything above 255 of 65535 white."""
    grey = Image.fromarray(np.array([[0, 256, 0x8000, 0xFFFF]], dtype=np.uint16))
    found = np.asarray(to_rgb(saved(grey, kind), "x"))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert to_rgb(data, "x").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        ((8192, 8193), "67117056 pixels, "),
        ((9459, 9459), "89472681 pixels, "),
        ((9500, 9500), "90250000 pixels, "),
        ((20_000, 20_000), "exceeds limit of"),
    ],
)
def test_decompression_bombs_are_refused_with_the_limit(tmp_path, size, complaint):
    Image.new("1", size).save(tmp_path / "bomb.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(SamDataError, match=rf"bomb\.png.*{complaint}.*wanted at most {MAX_PIXELS}"):
            to_rgb(tmp_path / "bomb.png", "s")


def test_formats_that_start_programs_are_refused(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(SamDataError, match="cannot identify image file"):
        to_rgb(tmp_path / "x.jpg", "s")


@pytest.mark.parametrize("name", ["Größe 猫.JPG", "with space.PnG", "no_extension"])
def test_odd_names(tmp_path, name):
    Image.new("RGB", (3, 2), "red").save(tmp_path / name, format="PNG")
    assert to_rgb(tmp_path / name, "s").size == (3, 2)
