"""Findings and reports are plain data, and a check that stops is a finding."""

from dataclasses import asdict

from helpers.findings import FAILURE, OK, WARNING
from lavis_sam.doctor import Finding, Report
from lavis_sam.doctor.findings import run_check
from lavis_sam.errors import SamConfigurationError


def test_a_check_that_stops_is_a_finding_and_the_others_run():
    def broken():
        yield Finding("data", "one", OK, "fine")
        raise KeyError("two")

    found = list(run_check("data", "some", broken))
    assert [finding.verdict for finding in found] == [OK, FAILURE]
    assert found[1].found == "the check stopped with KeyError: 'two'"
    assert Report("x", tuple(found)).summary() == "NOT fit for x: 1 failures, 0 warnings, 2 checks"


def test_a_wrong_setting_is_shown_as_its_own_message():
    def refused():
        yield from ()
        raise SamConfigurationError("--dataset: unknown data set 'vistt'. Did you mean 'vist'?")

    (found,) = run_check("data", "some", refused)
    assert (found.verdict, found.found) == (FAILURE, "--dataset: unknown data set 'vistt'. Did you mean 'vist'?")
    assert "report it" not in found.remedy


def test_findings_are_plain_data():
    finding = Finding("data", "x", WARNING, "y", "z")
    assert asdict(finding) == {"area": "data", "check": "x", "verdict": "warning", "found": "y", "remedy": "z"}
