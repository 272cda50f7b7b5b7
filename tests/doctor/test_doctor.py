"""The doctor on a healthy environment and on broken ones, each with the verdict that it must give."""

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from dataclasses import asdict

import pytest
import torch

from helpers.environments import REPOSITORY, Environment
from helpers.findings import FAILURE, NOTE, OK, WARNING, assert_helpful, only, verdicts
from lavis_sam.doctor import Finding, Report, environment, examine, hardware
from lavis_sam.doctor.data import check_data
from lavis_sam.doctor.findings import run_check
from lavis_sam.predictor.load_model import model_config


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


def test_bare_python_without_any_package(tmp_path):
    bare = Environment.create(tmp_path / "bare", with_packages=False)
    code = (
        "import json; from lavis_sam.doctor import examine; "
        "print(json.dumps(examine('tiny').as_dict(), default=str))"
    )  # fmt: skip
    output = bare.run("-c", code, PYTHONPATH=str(REPOSITORY))
    assert output.returncode == 0, output.stderr
    report = json.loads(output.stdout)
    found = {finding["check"]: finding for finding in report["findings"]}
    assert report["is_fit"] is False
    assert found["Python"]["verdict"] == "ok"
    for name in environment.TESTED:
        assert found[name]["verdict"] == "FAILURE"
        assert "not installed" in found[name]["found"]
        assert "pip install" in found[name]["remedy"]
    assert found["torch with torchvision"]["verdict"] == "FAILURE"
    assert "No module named 'torch" in found["torch with torchvision"]["found"]
    assert found["plugin hook"]["verdict"] == "FAILURE"
    assert found["LAVIS"]["verdict"] == "FAILURE"
    assert "No module named" in found["LAVIS"]["found"]
    assert found["model"]["verdict"] == "FAILURE"


def test_package_that_was_not_installed_has_no_hook(tmp_path):
    """All packages are there, but the source folder is only on the path."""
    loose = Environment.create(tmp_path / "loose", with_packages=True)
    code = "from lavis_sam.doctor import environment as e; print(*[f.verdict for f in e.check_hook()])"
    output = loose.run("-c", code, PYTHONPATH=str(REPOSITORY))
    assert output.stdout.strip() == "FAILURE", output.stderr


def test_lavis_that_does_not_know_the_model(monkeypatch):
    said = subprocess.CompletedProcess([], 0, "registered: False /lavis\n", "")
    monkeypatch.setattr(environment, "_ask", lambda code, seconds: said)
    (found,) = environment.check_lavis()
    assert found.verdict is FAILURE
    assert "does not know blip2_vicuna_sam" in found.found


def test_plugin_that_breaks_while_lavis_is_imported(monkeypatch):
    warned = "x.py:1: RuntimeWarning: lavis_sam cannot take its place in LAVIS; its registration failed\n"
    said = subprocess.CompletedProcess([], 0, "registered: True /lavis\n", warned)
    monkeypatch.setattr(environment, "_ask", lambda code, seconds: said)
    (found,) = environment.check_lavis()
    assert (found.verdict, "cannot take its place" in found.found) == (FAILURE, True)


def test_lavis_that_hangs(monkeypatch):
    def hang(code, seconds):
        raise subprocess.TimeoutExpired("python", seconds)

    monkeypatch.setattr(environment, "_ask", hang)
    (found,) = environment.check_lavis()
    assert found.verdict is FAILURE
    assert "did not end within 180 s" in found.found


@pytest.mark.parametrize(
    ("name", "version", "verdict"),
    [
        ("transformers", "4.30.2", FAILURE),
        ("transformers", "5.99.0", WARNING),
        ("transformers", "4.57.6", OK),
        ("torch", "2.1.0", FAILURE),
        ("torch", "2.15.0+cpu", OK),
        ("salesforce-lavis", "1.0.1", FAILURE),
        ("numpy", "1.26.0", WARNING),
    ],
)
def test_other_versions(monkeypatch, name, version, verdict):
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda asked: version if asked == name else real(asked))
    found = only(environment.check_versions(), name)
    assert (found.verdict, version in found.found) == (verdict, True)
    assert_helpful([found])


@pytest.mark.parametrize(("version", "verdict"), [((3, 10), FAILURE), ((3, 13), OK), ((3, 15), WARNING)])
def test_other_pythons(monkeypatch, version, verdict):
    monkeypatch.setattr(environment.sys, "version_info", (*version, 0))
    (found,) = environment.check_python()
    assert found.verdict is verdict


def test_torchvision_of_another_torch(monkeypatch, tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = environment.check_torchvision()
    assert found.verdict is FAILURE
    assert "operator torchvision::nms does not exist" in found.found


def test_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    (found,) = hardware.check_device(model_config("tiny"), "cuda:0")
    assert found.verdict is FAILURE
    assert "sees 0 CUDA devices" in found.found
    assert found.remedy


def test_gpu_that_does_not_compute(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Old GPU")
    monkeypatch.setattr(hardware.torch, "ones", refuse)
    (found,) = hardware.check_device(model_config("tiny"), "cuda")
    assert found.verdict is FAILURE
    assert "Old GPU does not compute: CUDA error: no kernel image" in found.found


def test_precision_that_the_gpu_lacks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Old GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    (found,) = hardware.check_precision(model_config("tiny", precision="bf16"), "cuda")
    assert found.verdict is FAILURE
    assert "take model.precision fp16 or fp32" in found.remedy


@pytest.mark.parametrize(("free", "verdict"), [(1_000_000, FAILURE), (22_000_000, WARNING), (10**9, OK), (None, NOTE)])
def test_too_little_memory(monkeypatch, free, verdict):
    monkeypatch.setattr(hardware, "free_memory", lambda: free)
    (found,) = hardware.check_memory(model_config("tiny"), "cpu")
    assert found.verdict is verdict
    assert "GB for the weights" in found.found
    assert_helpful([found])


def test_free_memory_is_what_this_machine_says():
    assert 10**8 < (hardware.free_memory() or 0) < 10**14


def test_data_that_is_wanted_and_not_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert only(check_data(), "mmlink").verdict is NOTE
    found = only(check_data(["mmlink"]), "mmlink")
    assert found.verdict is FAILURE
    assert "datasets.mmlink.build_info.images.storage" in found.remedy


def test_data_that_is_half_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mmlink").mkdir(parents=True)
    found = only(check_data(), "mmlink")
    assert found.verdict is WARNING
    assert "incomplete: data/mmlink/annotations.json does not exist" in found.found
    (tmp_path / "data" / "mmlink" / "annotations.json").write_text("[]")
    assert only(check_data(["mmlink"]), "mmlink").verdict is OK


def test_unknown_names_are_findings(monkeypatch):
    for name in ("check_hook", "check_lavis"):
        monkeypatch.setattr(environment, name, lambda: iter(()))
    report = examine("vicuna9b", datasets=["mmlnk"])
    assert not report.is_fit
    assert "'vicuna9b' is no packaged model type" in only(report.findings, "model").found
    assert "Did you mean 'mmlink'?" in only(report.findings, "data").found


def test_a_check_that_stops_is_a_finding_and_the_others_run():
    def broken():
        yield Finding("data", "one", OK, "fine")
        raise KeyError("two")

    found = list(run_check("data", "some", broken))
    assert [finding.verdict for finding in found] == [OK, FAILURE]
    assert found[1].found == "the check stopped with KeyError: 'two'"
    assert Report("x", tuple(found)).summary() == "NOT fit for x: 1 failures, 0 warnings, 2 checks"


def test_the_matrix_is_what_the_requirements_pin():
    pins = {}
    for file in ("requirements.txt", "requirements-transformers4.txt"):
        for line in (REPOSITORY / file).read_text().splitlines():
            if "==" in line and not line.startswith("#"):
                name, version = line.split(";")[0].strip().split("==")
                pins.setdefault(name, set()).add(version)
    for name, tested in environment.TESTED.items():
        assert set(tested) == pins[name], name
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert settings["tool"]["ruff"]["target-version"] == "py{}{}".format(*environment.PYTHONS[0])


def test_findings_are_plain_data():
    finding = Finding("data", "x", WARNING, "y", "z")
    assert asdict(finding) == {"area": "data", "check": "x", "verdict": "warning", "found": "y", "remedy": "z"}
