"""Settings of `generate` are checked as soon as they are made."""

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.decoding import Decoding


def test_decoding_defaults_are_the_released_ones():
    found = Decoding()
    assert (found.num_beams, found.max_length, found.min_length, found.repetition_penalty) == (5, 256, 1, 1.5)
    assert (found.use_nucleus_sampling, found.top_p, found.length_penalty, found.temperature) == (False, 0.9, 1.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 2.0}, "num_beams"),
        ({"num_beams": True}, "num_beams"),
        ({"max_length": 1}, "max_length"),
        ({"min_length": 9, "max_length": 8}, "min_length"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"length_penalty": float("nan")}, "length_penalty"),
        ({"temperature": 0}, "temperature"),
        ({"use_nucleus_sampling": 1}, "use_nucleus_sampling"),
        ({"num_captions": 6}, "num_captions"),
        ({"num_captions": 2, "num_beams": 1}, "num_captions"),
    ],
)
def test_impossible_decoding_is_named(settings, name):
    with pytest.raises(SamConfigurationError, match=f"^{name} of generate is "):
        Decoding(**settings)


def test_sampling_without_beams_gives_any_number_of_captions():
    assert Decoding(use_nucleus_sampling=True, num_beams=1, num_captions=9).num_captions == 9
