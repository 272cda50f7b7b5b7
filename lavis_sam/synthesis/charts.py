"""Small SVG charts for the report; numbers in, markup out."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

_WIDTH, _HEIGHT, _BINS = 320, 90, 32
_ROW, _LABEL = 18, 150
_BLUE, _RED, _LINE = "#4477aa", "#cc3344", "#222"


def histogram(accepted: Sequence[float], rejected: Sequence[float], low: float | None, high: float | None) -> str:
    """Return two histograms over one axis, with the thresholds as lines.

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
            parts.append(_threshold((limit - start) / (stop - start) * _WIDTH, _HEIGHT))
    parts.append(_text(0, _HEIGHT + 14, f"{start:.3g}") + _text(_WIDTH, _HEIGHT + 14, f"{stop:.3g}", "end"))
    return _svg(_WIDTH, _HEIGHT + 18, parts)


def curves(places: Sequence[float], lines: Mapping[str, Sequence[float | None]], now: float | None) -> str:
    """Return lines of values from 0 to 1 over one axis.

    Args:
        places: Where the values are, in ascending order.
        lines: Name -> value at each place; None leaves a gap at the line's beginning or end.
        now: Where a dashed line stands, or None.
    """
    ends = [*places, *([] if now is None else [now])]
    start, stop = min(ends), max(ends)
    if stop - start < 1e-9:
        start, stop = start - 0.5, stop + 0.5

    def across(value: float) -> float:
        return (value - start) / (stop - start) * _WIDTH

    parts = [_text(0, _HEIGHT + 14, f"{start:.3g}") + _text(_WIDTH, _HEIGHT + 14, f"{stop:.3g}", "end")]
    for (name, values), colour in zip(lines.items(), (_BLUE, _RED), strict=False):
        known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        points = " ".join(f"{across(place):.1f},{_HEIGHT * (1 - value):.1f}" for place, value in known)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{html.escape(name)}</title></polyline>"
        )
    if now is not None:
        parts.append(_threshold(across(now), _HEIGHT))
    return _svg(_WIDTH, _HEIGHT + 18, parts)


def ranges(rows: Mapping[str, Sequence[float]], low: float | None, high: float | None) -> str:
    """Draw a row for each name over one axis: the 5th to the 95th percentile, with the middle half and the median.

    Args:
        rows: Name -> at least one value.
        low: The least value that passes, or None.
        high: The largest value that passes, or None.
    """
    found = {name: np.percentile(np.asarray(values, float), (5, 25, 50, 75, 95)) for name, values in rows.items()}
    ends = [value for five in found.values() for value in five] + [end for end in (low, high) if end is not None]
    start, stop = float(min(ends)), float(max(ends))
    if stop - start < 1e-9:
        start, stop = start - 0.5, stop + 0.5
    scale = (_WIDTH - _LABEL) / (stop - start)
    parts = []
    for row, (name, five) in enumerate(found.items()):
        at, y = [_LABEL + (float(value) - start) * scale for value in five], row * _ROW
        parts.append(_text(_LABEL - 6, y + 13, name if len(name) <= 24 else name[:23] + "…", "end"))
        parts.append(_bar(at[0], y + 7, at[4] - at[0], 2, _BLUE) + _bar(at[1], y + 3, at[3] - at[1], 10, _BLUE))
        parts.append(_bar(at[2] - 1, y + 1, 2, 14, _LINE))
    bottom = _ROW * len(found)
    parts += [_threshold(_LABEL + (end - start) * scale, bottom) for end in (low, high) if end is not None]
    parts.append(_text(_LABEL, bottom + 12, f"{start:.3g}") + _text(_WIDTH, bottom + 12, f"{stop:.3g}", "end"))
    return _svg(_WIDTH, bottom + 18, parts)


def bars(counts: Mapping[str, int]) -> str:
    """Return a horizontal bar for each name."""
    most = max(1, *counts.values()) if counts else 1
    parts = []
    for row, (name, count) in enumerate(counts.items()):
        y = row * _ROW
        parts.append(_text(_LABEL - 6, y + 13, name if len(name) <= 24 else name[:23] + "…", "end"))
        parts.append(_bar(_LABEL, y + 2, (_WIDTH - _LABEL) * count / most * 0.8, _ROW - 5, _BLUE))
        parts.append(_text(_LABEL + (_WIDTH - _LABEL) * count / most * 0.8 + 4, y + 13, str(count)))
    return _svg(_WIDTH, _ROW * max(1, len(counts)), parts)


def heat_map(grid: np.ndarray) -> str:
    """Return a square of cells [G, G], darker where there is more."""
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


def _threshold(x: float, bottom: float) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}" stroke="{_LINE}" stroke-dasharray="3 2"/>'


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.5, width):.1f}" height="{height:.1f}" fill="{colour}" '
        'fill-opacity="0.75"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="#555" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">{"".join(parts)}</svg>'
