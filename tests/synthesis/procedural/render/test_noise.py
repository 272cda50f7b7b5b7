"""Noise: a function of place and seed alone, bounded and smooth."""

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.render.noise import ripples, smooth_noise

PLACES = np.random.default_rng(0).uniform(-3, 3, (500, 3)).astype(np.float32)


@pytest.mark.parametrize(("noise", "most"), [(smooth_noise, 1.0), (ripples, 1.001)])
def test_noise_is_a_function_of_place_and_seed(noise, most):
    values = noise(PLACES, 0.3, 5)
    assert (noise(PLACES[::-1], 0.3, 5)[::-1] == pytest.approx(values, abs=1e-5)) is True
    assert np.abs(values).max() <= most
    assert values.std() > 0.2
    assert np.abs(noise(PLACES, 0.3, 6) - values).max() > 0.2


@pytest.mark.parametrize("noise", [smooth_noise, ripples])
def test_noise_is_smooth(noise):
    step = np.float32([1e-3, 0, 0])
    assert np.abs(noise(PLACES + step, 0.3) - noise(PLACES, 0.3)).max() < 0.08
