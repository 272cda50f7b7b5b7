"""Small SVG charts for the report; numbers in, markup out."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

_WIDTH, _HEIGHT, _BINS = 320, 90, 32
_ROW, _LABEL = 18, 150
_BLUE, _RED, _LINE = "#4477aa", "#cc3344", "#222"


def histogram(accepted: Sequence[float], rejected: Sequence[float], low: float | None, high: float | None) -> str:
    """Two histograms over one axis, with the thresholds as lines.

    Args:
        low: The least value that passes, or None.
        high: The largest value that passes, or None.
    """
    values = np.array([*accepted, *rejected, *(limit for limit in (low, high) if limit is not None)], float)
    start, stop = float(values.min()), float(values.max())
    if stop - start < 1e-9:
        start, stop = start - 0.5, stop + 0.5
    edges = np.linspace(start, stop, _BINS + 1)
    counts = [np.histogram(values, edges)[0] for values in (accepted, rejected)]
    tallest = max(1, *(int(count.max()) for count in counts))
    parts = []
    for count, colour in zip(counts, (_BLUE, _RED), strict=True):
        for index, number in enumerate(count):
            if number:
                # A single sample among thousands still shows.
                height = max(2.0, _HEIGHT * int(number) / tallest)
                parts.append(_bar(index * _WIDTH / _BINS, _HEIGHT - height, _WIDTH / _BINS - 1, height, colour))
    for limit in (low, high):
        if limit is not None:
            x = (limit - start) / (stop - start) * _WIDTH
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}" stroke="{_LINE}" stroke-dasharray="3 2"/>'
            )
    parts.append(_text(0, _HEIGHT + 14, f"{start:.3g}") + _text(_WIDTH, _HEIGHT + 14, f"{stop:.3g}", "end"))
    return _svg(_WIDTH, _HEIGHT + 18, parts)


def bars(counts: Mapping[str, int]) -> str:
    """A horizontal bar for each name."""
    most = max(1, *counts.values()) if counts else 1
    parts = []
    for row, (name, count) in enumerate(counts.items()):
        y = row * _ROW
        parts.append(_text(_LABEL - 6, y + 13, name if len(name) <= 24 else name[:23] + "…", "end"))
        parts.append(_bar(_LABEL, y + 2, (_WIDTH - _LABEL) * count / most * 0.8, _ROW - 5, _BLUE))
        parts.append(_text(_LABEL + (_WIDTH - _LABEL) * count / most * 0.8 + 4, y + 13, str(count)))
    return _svg(_WIDTH, _ROW * max(1, len(counts)), parts)


def heat_map(grid: np.ndarray) -> str:
    """A square of cells [G, G], darker where there is more."""
    side = 160 / grid.shape[0]
    most = max(1, int(grid.max()))
    parts = ['<rect width="160" height="160" fill="none" stroke="#ccc"/>']
    for (row, column), count in np.ndenumerate(grid):
        if count:
            share = 0.15 + 0.85 * int(count) / most
            parts.append(
                f'<rect x="{column * side:.1f}" y="{row * side:.1f}" width="{side:.1f}" height="{side:.1f}" '
                f'fill="{_BLUE}" fill-opacity="{share:.2f}"/>'
            )
    return _svg(160, 160, parts)


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.5, width):.1f}" height="{height:.1f}" fill="{colour}" '
        'fill-opacity="0.75"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="#555" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">{"".join(parts)}</svg>'
