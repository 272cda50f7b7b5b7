"""All checks together."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from helpers.findings import FAILURE, OK, assert_helpful, only, verdicts
from lavis_sam.doctor import Finding, data, environment, examination, examine


def test_this_environment_is_fit_for_the_tiny_model():
    report = examine("tiny", device="cpu")
    bad = [finding for finding in report.findings if finding.verdict is FAILURE]
    assert report.is_fit, bad
    found = verdicts(report.findings)
    for check in (
        "Python",
        "torch",
        "torch with torchvision",
        "plugin hook",
        "LAVIS",
        "device",
        "memory",
        "InstructBLIP folder",
        "base of the adapter",
    ):
        assert found[check] is OK, check
    assert found["mmlink (photographs)"] is OK
    assert "fit for tiny: 0 failures" in report.summary()
    assert json.dumps(report.as_dict())
    assert_helpful(report.findings)


def test_unknown_names_are_findings(monkeypatch):
    for name in ("check_hook", "check_libraries"):
        monkeypatch.setattr(environment, name, lambda: iter(()))
    report = examine("vicuna9b", datasets=["mmlnk"])
    assert not report.is_fit
    assert "'vicuna9b' is no packaged model type" in only(report.findings, "model").found
    assert "Did you mean 'mmlink'?" in only(report.findings, "data").found


def test_lavis_is_started_while_other_checks_run_and_reported_in_its_place(monkeypatch):
    others_ran = threading.Event()
    finding = Finding("environment", "LAVIS", OK, "imports")

    def check_libraries():
        assert others_ran.wait(60)
        yield finding

    def check_hook():
        others_ran.set()
        yield Finding("environment", "plugin hook", OK, "in place")

    monkeypatch.setattr(environment, "check_libraries", check_libraries)
    monkeypatch.setattr(environment, "check_hook", check_hook)
    checks = [found.check for found in examine("vicuna9b").findings if found.area == "environment"]
    assert finding in examine("vicuna9b").findings
    assert checks[-2:] == ["plugin hook", "LAVIS"]


def test_lavis_is_checked_however_late_its_thread_starts(monkeypatch):
    others_ran = threading.Event()

    class LateExecutor(ThreadPoolExecutor):
        def submit(self, work, /, *given):
            return super().submit(lambda: others_ran.wait(60) and work(*given))

    def named(check):
        return lambda: iter([Finding("environment", check, OK, "looked at")])

    def check_data(datasets):
        others_ran.set()
        yield from ()

    names = {"check_python": "Python", "check_versions": "versions", "check_hook": "plugin hook"}
    for name, check in {**names, "check_libraries": "LAVIS"}.items():
        monkeypatch.setattr(environment, name, named(check))
    monkeypatch.setattr(data, "check_data", check_data)
    monkeypatch.setattr(examination, "ThreadPoolExecutor", LateExecutor)
    checks = [found.check for found in examine("vicuna9b").findings if found.area == "environment"]
    assert checks == ["Python", "versions", "plugin hook", "LAVIS"]
