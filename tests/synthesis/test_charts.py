"""Charts of the page."""

import re

import numpy as np

from lavis_sam.synthesis.charts import bars, curves, heat_map, histogram, ranges


def test_a_histogram_counts_and_has_its_thresholds():
    chart = histogram([0.1, 0.2, 0.2], [0.9], 0.5, None)
    assert chart.count("<rect") == 3
    assert chart.count("<line") == 1
    assert histogram([1.0, 1.0], [], 1.0, 1.0).count("<rect") == 1, "one value has a width too"


def test_charts_escape_and_survive_nothing():
    assert "&lt;b&gt;" in bars({"<b>": 1})
    assert bars({}).startswith("<svg")
    assert heat_map(np.zeros((4, 4), int)).count("<rect") == 1


def test_curves_leave_gaps_and_show_the_threshold():
    markup = curves([0.0, 1.0, 2.0], {"precision": [None, 0.5, 1.0], "recall": [0.0, 0.5, 0.5]}, 1.0)
    assert '<polyline points="160.0,45.0 320.0,0.0"' in markup
    assert '<polyline points="0.0,90.0 160.0,45.0 320.0,45.0"' in markup
    assert '<line x1="160.0" x2="160.0"' in markup
    assert "stroke-dasharray" not in curves([1.0], {"recall": [1.0]}, None)


def test_ranges_of_several_names_share_an_axis():
    markup = ranges({"<a>": [0.0] * 9, "b": [10.0] * 9}, None, 5.0)
    assert "&lt;a&gt;" in markup
    assert '<line x1="235.0" x2="235.0" y1="0" y2="36"' in markup
    medians = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="2.0" height="14.0"', markup)
    assert medians == ["149.0", "319.0"]
