"""All checks together."""

import json

from helpers.findings import FAILURE, OK, assert_helpful, only, verdicts
from lavis_sam.doctor import environment, examine


def test_this_environment_is_fit_for_the_tiny_model():
    report = examine("tiny", device="cpu")
    bad = [finding for finding in report.findings if finding.verdict is FAILURE]
    assert report.is_fit, bad
    found = verdicts(report.findings)
    for check in ("Python", "torch", "torch with torchvision", "plugin hook", "LAVIS", "device", "memory", "base"):
        assert found[check] is OK, check
    assert found["mmlink (photographs)"] is OK
    assert "fit for tiny: 0 failures" in report.summary()
    assert json.dumps(report.as_dict())
    assert_helpful(report.findings)


def test_unknown_names_are_findings(monkeypatch):
    for name in ("check_hook", "check_lavis"):
        monkeypatch.setattr(environment, name, lambda: iter(()))
    report = examine("vicuna9b", datasets=["mmlnk"])
    assert not report.is_fit
    assert "'vicuna9b' is no packaged model type" in only(report.findings, "model").found
    assert "Did you mean 'mmlink'?" in only(report.findings, "data").found
