"""Icons with their names."""

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.icons import icon_meaning, icon_names, load_icon


@pytest.mark.parametrize("name", icon_names("all"))
def test_every_icon_is_there_and_means_something(name):
    rgba = load_icon(name)
    assert rgba.shape == (256, 256, 4)
    assert 0.05 < (rgba[..., 3] > 128).mean() < 0.95
    assert icon_meaning(name)


def test_icons_cannot_be_spoilt_and_unknown_ones_are_refused():
    with pytest.raises(ValueError, match="read-only"):
        load_icon(icon_names()[0])[0, 0] = 0
    with pytest.raises(SamConfigurationError, match="unicorn horn"):
        load_icon("unicorn horn")
