"""The report's page: whole, self-contained, and safe whatever the answers say."""

import json
import re

from helpers.sweeps import write_sweep
from lavis_sam.experiments.findings import findings
from lavis_sam.experiments.page import write_report


def test_the_page_holds_scores_with_intervals_differences_curves_and_cases(tmp_path):
    write_sweep(tmp_path)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    found = findings(tmp_path)
    entry = found["sets"]["mmlink"]["scores"]["base"]["rouge"]
    assert f"{entry['mean']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]" in page
    assert "SAM − InstructBLIP" in page
    assert "4 of 4 runs are finished" in page
    assert 'src="data:image/png;base64,' in page
    assert found["cases"][0]["reference"][0] in page
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(found))


def test_the_page_loads_and_runs_nothing(tmp_path):
    write_sweep(tmp_path, failed=("sam", 1), answer='<script>alert(1)</script> & "x"')
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;no room&lt;/b&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_the_same_results_give_the_same_bytes(tmp_path):
    write_sweep(tmp_path)
    first = write_report(tmp_path).read_bytes()
    assert write_report(tmp_path).read_bytes() == first
