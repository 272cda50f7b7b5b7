"""The vendored segmentation network."""

import numpy as np
import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.backends.u2net import segment


@pytest.mark.parametrize("side", [96, 224])
def test_a_disc_on_a_plain_backdrop_is_found(side):
    """At 96 pixels the network's own outline is a pixel off here and there; the image's edges put it right."""
    y, x = np.mgrid[:200, :240]
    disc = (x - 130) ** 2 + (y - 100) ** 2 < 60**2
    image = np.where(disc[..., None], (180, 40, 60), (226, 228, 232)).astype(np.uint8)
    found = segment(image, side=side)
    assert found.shape == (200, 240)
    assert found.dtype == np.float32
    assert (found.min(), found.max()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    both, either = (found > 0.5) & disc, (found > 0.5) | disc
    assert both.sum() / either.sum() > 0.995


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(SamConfigurationError, match="wanted uint8"):
        segment(image)


def test_a_black_image_is_no_error():
    assert np.isfinite(segment(np.zeros((32, 32, 3), np.uint8))).all()
