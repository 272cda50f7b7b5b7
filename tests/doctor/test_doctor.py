"""The doctor on a healthy environment and on broken ones, each with the verdict that it must give."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import asdict

import pytest
import torch

from helpers.environments import REPOSITORY, Environment
from helpers.instructblip import folder_config, transformers_model, write_folder
from helpers.models import SIZES, small_model
from helpers.weights import TOKENIZERS, config_for, write_release
from lavis_sam.doctor import Finding, Report, Verdict, environment, examine, hardware, weights
from lavis_sam.doctor.data import check_data
from lavis_sam.doctor.findings import run_check
from lavis_sam.models.adapters import save_adapter
from lavis_sam.models.checkpoints import to_released, trainable_state_dict
from lavis_sam.models.vicuna import guess_version
from lavis_sam.predictor.loading import model_config

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


# Healthy


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


@pytest.fixture(scope="module")
def source():
    return small_model()


@pytest.fixture(scope="module")
def release(source, tmp_path_factory):
    """The released files in LAVIS's layout."""
    folder = tmp_path_factory.mktemp("release")
    return folder, write_release(folder, source)


@pytest.fixture
def files(release, tmp_path):
    """A copy of them to break."""
    folder, paths = release
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return {key: path.replace(str(folder), str(tmp_path)) for key, path in paths.items()}


@pytest.fixture
def folder(tmp_path):
    return write_folder(transformers_model(), tmp_path / "folder")


def test_healthy_weights_in_lavis_layout(source, files, tmp_path):
    torch.save({"model": to_released(trainable_state_dict(source))}, tmp_path / "sam.pth")
    found = list(weights.check_weights(config_for(source, SIZES, files, finetuned=str(tmp_path / "sam.pth"))))
    assert verdicts(found) == {
        "EVA ViT": OK,
        "InstructBLIP": OK,
        "Vicuna version": WARNING,  # no real Vicuna is 20 wide
        "language model": OK,
        "LLM tokenizer": WARNING,  # nor has Llama's tokenizer 1500 pieces
        "Q-Former tokenizer": WARNING,
        "trained layers": OK,
    }
    assert_helpful(found)


def test_healthy_weights_in_transformers_layout(folder, tmp_path):
    config = folder_config(folder)
    found = verdicts(weights.check_weights(config))
    assert found["InstructBLIP folder"] is OK
    assert found["trained layers"] is NOTE
    save_adapter(tmp_path / "adapter", small_model(), model_type="vicuna7b")
    config.finetuned = str(tmp_path / "adapter")
    assert verdicts(weights.check_weights(config))["trained layers"] is OK


# Broken environments


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


def test_no_weights_at_all(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("INSTRUCTBLIP", "EVA_VIT", "VICUNA", "CHECKPOINT"):
        monkeypatch.delenv(f"LAVIS_SAM_{name}", raising=False)
    monkeypatch.setenv("LAVIS_SAM_BERT", str(tmp_path / "nowhere"))
    found = list(weights.check_weights(model_config("vicuna7b")))
    for key in ("model.pretrained", "model.vit_checkpoint", "model.llm_model", "model.bert_tokenizer"):
        assert only(found, key).verdict is FAILURE
        assert f"Set {key} in the config or LAVIS_SAM_" in only(found, key).remedy


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_vicuna_config(folder, **changes):
    """config.json of a Vicuna-7B, with changes."""
    real = {"model_type": "llama", "hidden_size": 4096, "vocab_size": 32000, "rms_norm_eps": 1e-6}
    (folder / "config.json").write_text(json.dumps(real | {"max_position_embeddings": 2048} | changes))


BREAKS = {
    "truncated-instructblip": (lambda d: halve(d / "instructblip.pth"), "InstructBLIP", FAILURE, "truncated, damaged"),
    "truncated-eva": (lambda d: halve(d / "eva.pth"), "EVA ViT", FAILURE, "truncated, damaged"),
    "eva-of-another-architecture": (
        lambda d: torch.save({"conv1.weight": torch.ones(2)}, d / "eva.pth"),
        "EVA ViT",
        FAILURE,
        "missing: cls_token",
    ),
    "lfs-pointer": (
        lambda d: (d / "instructblip.pth").write_text("version https://git-lfs.github.com/spec/v1"),
        "InstructBLIP",
        FAILURE,
        "Git LFS pointer",
    ),
    "vicuna-v0": (
        lambda d: write_vicuna_config(d / "vicuna", vocab_size=32001),
        "Vicuna version",
        FAILURE,
        "Vicuna v0 (a vocabulary of 32001",
    ),
    "vicuna-v1.5": (
        lambda d: write_vicuna_config(d / "vicuna", max_position_embeddings=4096, rms_norm_eps=1e-5),
        "Vicuna version",
        FAILURE,
        "Vicuna v1.5 (4096 positions",
    ),
    "vicuna-cut-off": (
        lambda d: halve(next((d / "vicuna").glob("*.safetensors"))),
        "language model",
        FAILURE,
        "truncated, damaged",
    ),
    "vicuna-part-missing": (
        lambda d: (d / "vicuna" / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}})
        ),
        "language model",
        FAILURE,
        "model-00002-of-00002.safetensors is missing",
    ),
    "tokenizer-pointer": (
        lambda d: (d / "vicuna" / "tokenizer.model").write_text("version https://git-lfs.github.com/spec/v1"),
        "LLM tokenizer",
        FAILURE,
        "no sentencepiece model",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_broken_weights(source, files, tmp_path, name):
    damage, check, verdict, words = BREAKS[name]
    damage(tmp_path)
    found = list(weights.check_weights(config_for(source, SIZES, files)))
    assert only(found, check).verdict is verdict
    assert words in only(found, check).found
    assert only(found, check).remedy
    others = {finding.check for finding in found if finding.verdict is FAILURE} - {check}
    assert not others, "the rest is healthy, and is said to be"


def test_vocabulary_of_another_bert(source, files, tmp_path):
    words = (TOKENIZERS / "vocab.txt").read_text().splitlines()
    (tmp_path / "vocab.txt").write_text("\n".join([*words, "further"]) + "\n")
    config = config_for(source, SIZES, files | {"bert_tokenizer": str(tmp_path / "vocab.txt")})
    found = only(weights.check_weights(config), "Q-Former tokenizer")
    assert found.verdict is FAILURE
    assert "1501 tokens with [DEC], but the Q-Former has 1500 rows" in found.found


def test_trained_layers_of_another_model(source, files, tmp_path):
    state = trainable_state_dict(source)
    state["w_former.linear_c.weight"] = torch.ones(3, 3)
    torch.save({"model": state}, tmp_path / "sam.pth")
    found = list(weights.check_weights(config_for(source, SIZES, files, finetuned=str(tmp_path / "sam.pth"))))
    assert only(found, "trained layers").verdict is FAILURE
    assert "w_former.linear_c.weight is [3, 3]" in only(found, "trained layers").found


def test_folder_with_a_part_cut_off(folder):
    halve(sorted(folder.glob("*.safetensors"))[1])
    found = only(weights.check_weights(folder_config(folder)), "InstructBLIP folder")
    assert found.verdict is FAILURE
    assert "truncated, damaged" in found.found


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


@pytest.mark.parametrize(
    ("config", "name", "is_wanted"),
    [
        ({}, "v1.1 or v1.3", True),
        ({"hidden_size": 5120}, "v1.1 or v1.3", True),
        ({"_name_or_path": "lmsys/vicuna-7b-v1.1"}, "v1.1", True),
        ({"_name_or_path": "lmsys/vicuna-7b-v1.3"}, "v1.3", False),
        ({"vocab_size": 32001}, "v0", False),
        ({"max_position_embeddings": 4096}, "v1.5", False),
        ({"rms_norm_eps": 1e-5}, "v1.5", False),
        ({"model_type": "opt"}, "unknown", None),
        ({"hidden_size": 8192}, "unknown", None),
    ],
)
def test_vicunas_by_their_configuration(config, name, is_wanted):
    real = {"model_type": "llama", "hidden_size": 4096, "vocab_size": 32000, "rms_norm_eps": 1e-6}
    version = guess_version(real | config)
    assert (version.name, version.is_wanted) == (name, is_wanted)


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


def test_a_missing_vicuna_file_does_not_hide_the_rest(source, files):
    shutil.rmtree(files["llm_model"])
    found = verdicts(weights.check_weights(config_for(source, SIZES, files)))
    assert found["model.llm_model"] is FAILURE
    assert found["InstructBLIP"] is OK
