"""Charts of the page."""

import numpy as np

from lavis_sam.synthesis.charts import bars, heat_map, histogram


def test_a_histogram_counts_and_has_its_thresholds():
    chart = histogram([0.1, 0.2, 0.2], [0.9], 0.5, None)
    assert chart.count("<rect") == 3
    assert chart.count("<line") == 1
    assert histogram([1.0, 1.0], [], 1.0, 1.0).count("<rect") == 1, "one value has a width too"


def test_charts_escape_and_survive_nothing():
    assert "&lt;b&gt;" in bars({"<b>": 1})
    assert bars({}).startswith("<svg")
    assert heat_map(np.zeros((4, 4), int)).count("<rect") == 1
