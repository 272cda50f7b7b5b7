"""`lavis-sam doctor` on the command line."""

import json

import pytest

from lavis_sam.doctor import Finding, Report, Verdict


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(("verdict", "exit_code"), [(Verdict.OK, 0), (Verdict.WARNING, 0), (Verdict.FAILURE, 1)])
def test_doctor_prints_the_report_and_exits_by_it(run, monkeypatch, verdict, exit_code, as_json):
    finding = Finding("weights", "EVA ViT", verdict, "what was found [not markup]", "what to do")
    monkeypatch.setattr("lavis_sam.doctor.examine", lambda *_, **__: Report("vicuna7b", (finding,)))
    code, out, _ = run("doctor", "--model", "vicuna7b", *(["--json"] if as_json else []))
    assert code == exit_code
    if as_json:
        assert json.loads(out)["findings"][0]["verdict"] == verdict.value
    else:
        assert "what was found [not markup]" in out
        assert "-> what to do" in out
        assert ("NOT fit for vicuna7b" in out) is (exit_code == 1)
