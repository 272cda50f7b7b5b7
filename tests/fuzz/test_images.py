"""Any bytes as an image, any array: the same pixels however they come, or an error with the image's name."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.fuzzing import damaged, fuzz_settings, limited_memory
from lavis_sam.datasets.images import IMAGE_FORMATS, open_image, to_rgb
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.sources.files import read_cutout, read_image, read_mask

SIZE = (80, 70)
KINDS = ["?", "u1", "<u2", ">u2", "<u4", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", ">f4", "<f8", "<c8", "S3"]


def stored(mode: str, kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 4), np.uint8)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(noise).convert("RGB" if mode == "P" else "RGBA").convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 3
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}))
    return buffer.getvalue()


FILES = [stored("RGB", kind) for kind in IMAGE_FORMATS]
FILES += [stored("RGBA", "PNG"), stored("I;16", "PNG"), stored("P", "PNG"), stored("LA", "PNG"), stored("CMYK", "TIFF")]


def read(reader, *arguments, name):
    """Pixels, or None for our error, which names the image and blames no memory."""
    try:
        return np.asarray(reader(*arguments))
    except SamDataError as error:
        message = str(error)
    assert name in message
    assert "MemoryError" not in message
    return None


def pixels(value):
    return read(to_rgb, value, "image 7", name="image 7")


@pytest.mark.filterwarnings("ignore")
@given(data=st.sampled_from(FILES).flatmap(damaged) | st.binary(max_size=100))
@fuzz_settings(150)
def test_any_bytes_are_the_same_image_by_path_and_object_or_our_error(tmp_path, data):
    path = tmp_path / "image"
    path.write_bytes(data)
    with limited_memory(1200):
        found = pixels(data)
        by_path = pixels(path)
        assert (found is None) == (by_path is None)
        if found is None:
            return
        assert found.shape[2] == 3
        assert found.dtype == np.uint8
        assert np.array_equal(found, by_path)
        with io.BytesIO(data) as file:
            assert np.array_equal(found, pixels(open_image(file)))


@pytest.mark.filterwarnings("ignore")
@given(data=st.sampled_from(FILES).flatmap(damaged) | st.binary(max_size=100))
@fuzz_settings(60)
def test_any_bytes_of_a_source_are_an_image_or_our_error(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with limited_memory(1200):
        image = read(read_image, tmp_path, "x.png", name="x.png")
        cutout = read(lambda *place: read_cutout(*place)[0], tmp_path, "x.png", name="x.png")
        read(read_mask, tmp_path, "x.png", (SIZE[1], SIZE[0]), name="x.png")
    assert image is None or image.shape == cutout.shape


@given(
    shape=st.lists(st.integers(0, 6), max_size=4),
    kind=st.sampled_from(KINDS),
    low=st.floats(-300, 70_000),
    high=st.floats(-300, 70_000),
    seed=st.integers(0, 9),
)
@fuzz_settings(300)
def test_any_array_is_an_image_of_its_size_or_our_error(shape, kind, low, high, seed):
    with np.errstate(all="ignore"):
        numbers = np.random.default_rng(seed).uniform(min(low, high), max(low, high), shape).astype(np.dtype(kind))
    before, found = numbers.copy(), pixels(numbers)
    assert np.array_equal(numbers, before)
    if found is None:
        return
    assert found.shape[0] * found.shape[1] * 3 == found.size
    assert set(found.shape[:2]) <= set(shape)
    if kind[0] != ">":  # torch has no other byte order
        assert np.array_equal(pixels(torch.from_numpy(numbers)), found)
