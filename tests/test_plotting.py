"""Figures become PNG files: the same bytes for the same figure, and a clear error without matplotlib."""

import sys

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.plotting import figure, save_png


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        drawn = figure(2, 1)
        drawn.add_subplot().plot([1, 2, 3])
        save_png(drawn, tmp_path / name)
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content[16:24] == (240).to_bytes(4, "big") + (120).to_bytes(4, "big")  # inches at 120 dots


def test_a_figure_without_matplotlib_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SamConfigurationError, match="pip install matplotlib"):
        figure(2, 1)
