"""The environment, healthy and broken, each with the verdict that it must give."""

import importlib.metadata
import json
import subprocess
import tomllib

import pytest

from helpers.environments import REPOSITORY, Environment
from helpers.findings import FAILURE, OK, WARNING, assert_helpful, only
from lavis_sam.doctor import environment


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
    said = subprocess.CompletedProcess([], 0, "torchvision: loads\nregistered: False /lavis\n", "")
    monkeypatch.setattr(environment, "_ask", lambda code, seconds: said)
    found = only(environment.check_libraries(), "LAVIS")
    assert found.verdict is FAILURE
    assert "does not know blip2_vicuna_sam" in found.found


def test_plugin_that_breaks_while_lavis_is_imported(monkeypatch):
    warned = "x.py:1: RuntimeWarning: lavis_sam cannot take its place in LAVIS; its registration failed\n"
    said = subprocess.CompletedProcess([], 0, "torchvision: loads\nregistered: True /lavis\n", warned)
    monkeypatch.setattr(environment, "_ask", lambda code, seconds: said)
    found = only(environment.check_libraries(), "LAVIS")
    assert (found.verdict, "cannot take its place" in found.found) == (FAILURE, True)


def test_lavis_that_hangs(monkeypatch):
    def hang(code, seconds):
        raise subprocess.TimeoutExpired("python", seconds)

    monkeypatch.setattr(environment, "_ask", hang)
    (found,) = environment.check_libraries()
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
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = only(environment.check_libraries(), "torch with torchvision")
    assert (found.verdict, found.found) == (
        FAILURE,
        "torchvision does not load: operator torchvision::nms does not exist",
    )


def test_torch_that_ends_the_whole_process(monkeypatch):
    said = subprocess.CompletedProcess([], -11, "", "Fatal Python error: Segmentation fault\n")
    monkeypatch.setattr(environment, "_ask", lambda code, seconds: said)
    found = only(environment.check_libraries(), "torch with torchvision")
    assert (found.verdict, "Segmentation fault" in found.found) == (FAILURE, True)


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
