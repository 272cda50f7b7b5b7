"""The report's page: whole, self-contained, and safe whatever the answers say."""

import json
import re

from PIL import Image

from helpers.sweeps import WRONG, write_sweep
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.experiments.findings import findings
from lavis_sam.experiments.page import write_report

LAYERS = ("model.guidance.layer_l", "model.guidance.layer_k")


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


def test_a_case_shows_its_images_and_question_with_every_rows_answer(tmp_path):
    write_sweep(tmp_path)
    asked = []

    def look_up(case):
        asked.append((case["run"], case["dataset"], case["split"], case["sample"]))
        sample = MultiImageSample(case["sample"], ("a.jpg", "b.jpg"), "What <is> it?", "", (), "")
        return EvaluationSample(sample, (Image.new("RGB", (300, 200)), Image.new("L", (20, 20))))

    page = write_report(tmp_path, look_up).read_text(encoding="utf-8")
    assert ("base/seed-0", "mmlink", "test", "0") in asked
    assert "What &lt;is&gt; it?" in page
    assert page.count("data:image/jpeg;base64,") == 2 * len(asked)
    assert WRONG[0] in page
    assert "its images are not here any more" in write_report(tmp_path).read_text(encoding="utf-8")


def test_rows_over_the_interaction_layers_give_a_surface(tmp_path):
    write_sweep(tmp_path)
    assert "interaction layers" not in write_report(tmp_path).read_text(encoding="utf-8")
    path = tmp_path / "sweep.json"
    sweep = json.loads(path.read_text(encoding="utf-8"))
    for row, place in (("base", (1, 2)), ("sam", (2, 3))):
        sweep["rows"][row]["options"] = dict(zip(LAYERS, place, strict=True))
    path.write_text(json.dumps(sweep), encoding="utf-8")
    assert 'alt="scores over the interaction layers l and k"' in write_report(tmp_path).read_text(encoding="utf-8")
