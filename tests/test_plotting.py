"""Figures become PNG files: the same bytes for the same figure, and a clear error without matplotlib."""

import sys

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.plotting import draw_surface, figure, save_png


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        drawn = figure(2, 1)
        drawn.add_subplot().plot([1, 2, 3])
        save_png(drawn, tmp_path / name)
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content[16:24] == (240).to_bytes(4, "big") + (120).to_bytes(4, "big")  # inches at 120 dots


def test_a_surface_has_the_layers_at_its_sides_and_the_values_in_its_cells():
    axes = figure(2, 2).add_subplot()
    draw_surface(axes, {(1, 2): 0.5, (1, 4): 3.0, (3, 4): 10.25}, digits=1)
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "0.5"),
        ((1, 0), "3.0"),
        ((1, 1), "10.2"),
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "3"]


def test_a_figure_without_matplotlib_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SamConfigurationError, match="pip install matplotlib"):
        figure(2, 1)
