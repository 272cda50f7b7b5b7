"""Reading the doctor's findings in tests."""

from lavis_sam.doctor import Verdict

OK, NOTE, WARNING, FAILURE = Verdict.OK, Verdict.NOTE, Verdict.WARNING, Verdict.FAILURE


def verdicts(findings):
    return {finding.check: finding.verdict for finding in findings}


def only(findings, check):
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def assert_helpful(findings):
    """Whatever is wrong says what to do."""
    for finding in findings:
        assert finding.found
        assert finding.remedy or finding.verdict in (OK, NOTE), finding
