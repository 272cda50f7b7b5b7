import io

import numpy as np
import pytest
from PIL import Image

from lavis_sam.baselines.jpeg import ImageBounds, jpeg_within
from lavis_sam.errors import SamConfigurationError


def noise(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("size", "wanted"), [((900, 300), (300, 100)), ((100, 700), (43, 300)), ((50, 20), (50, 20))])
def test_sizes(size, wanted):
    data = jpeg_within(noise(*size), ImageBounds(side=300))
    assert Image.open(io.BytesIO(data)).size == wanted


@pytest.mark.parametrize("limit", [40_000, 8_000, 2_000])
def test_bytes(limit):
    data = jpeg_within(noise(300, 300), ImageBounds(side=300, bytes=limit))
    assert len(data) <= limit
    found = Image.open(io.BytesIO(data))
    found.load()
    assert min(found.size) >= 32


def test_a_line_of_pixels_stays_a_image():
    assert Image.open(io.BytesIO(jpeg_within(noise(2000, 1), ImageBounds(side=100)))).size == (100, 1)


def test_a_image_that_fits_is_as_good_as_can_be():
    plain = Image.new("RGB", (64, 64), "green")
    found = Image.open(io.BytesIO(jpeg_within(plain, ImageBounds())))
    assert found.size == (64, 64)
    assert np.abs(np.asarray(found, int) - np.asarray(plain, int)).max() <= 3


def test_bounds_in_which_nothing_can_be_seen():
    for wrong in ({"side": 8}, {"bytes": 10}):
        with pytest.raises(SamConfigurationError, match="wanted at least"):
            ImageBounds(**wrong)
