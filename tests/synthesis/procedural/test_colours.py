"""Colours by name and by split."""

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.colours import COLOURS, choices


def test_each_split_has_colours_for_everything():
    for name in ("dress", "sofa", "boots", "umbrella"):
        train, held_out = (choices(name, tuple(COLOURS), split) for split in ("train", "held_out"))
        assert train
        assert held_out
        assert not set(train) & set(held_out)
    with pytest.raises(SamConfigurationError, match="split"):
        choices("dress", ("red",), "trian")
