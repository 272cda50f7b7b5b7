"""Reports of problems: a table, always printable."""

import json

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import scan_annotations
from lavis_sam.datasets.problems import AnnotationProblem


def test_the_report_as_a_table(tmp_path):
    path = write_dataset(tmp_path, [record("a", img_list=["x.png", "y.png"])])
    path.write_text(
        json.dumps(
            [record("a", img_list=["x.png", "gone.png", "lost.png"]), record("b", img_list=["x.png"], output="")]
        )
    )
    report = scan_annotations(path, tmp_path)
    assert report.dropped == 2
    missing, empty = report.rows()
    assert (missing.kind, missing.count, missing.records, len(missing.examples)) == ("missing image", 2, 1, 2)
    assert (empty.kind, empty.count, empty.records) == ("empty output", 1, 1)
    plain = report.as_dict()
    assert (plain["samples"], plain["dropped"], plain["repairs"]) == (0, 2, {})
    assert plain["problems"][0]["examples"] == list(missing.examples)
    assert "gone.png" in missing.examples[0]


def test_a_problem_is_printable_whatever_it_is_about():
    problem = AnnotationProblem("missing image", "images/\udcff.png", "\ud800")
    assert (problem.place, problem.message) == ("images/\\udcff.png", "\\ud800")
