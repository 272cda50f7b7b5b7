"""`lavis-sam parity` on the command line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

CASES = Path(__file__).parents[1] / "parity" / "independent"


@pytest.fixture
def one_case(tmp_path):
    for part in (".json", "_io.safetensors", "_weights.safetensors"):
        shutil.copy(CASES / f"case_untrained_single{part}", tmp_path)
    shutil.copytree(CASES / "tok", tmp_path / "tok")
    return tmp_path


def test_parity_that_holds(run, one_case):
    code, out, _ = run("parity", one_case)
    assert code == 0
    assert "case untrained_single" in out
    assert "out.grad.Qformer.bert.encoder.one_2_muliple.0.weight" in out
    assert "parity holds" in out
    assert "FAIL" not in out


def test_parity_that_is_broken_exits_with_1(run, one_case):
    path = one_case / "case_untrained_single_weights.safetensors"
    weights = load_file(path)
    weights["ln_vision.bias"] += 0.01
    save_file(weights, path)
    code, out, _ = run("parity", one_case)
    assert code == 1
    assert "FAIL" in out
    assert "parity is BROKEN" in out
    code, out, _ = run("parity", one_case, "--json")
    assert code == 1
    assert json.loads(out)["passed"] is False


def test_json_is_all_that_is_on_stdout(one_case):
    command = [sys.executable, "-m", "lavis_sam.cli", "parity", str(one_case), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["passed"] is True
    assert {"lavis_sam", "torch", "transformers"} <= set(report["versions"])
    rows = {row["array"]: row for row in report["cases"][0]["comparisons"]}
    assert rows["out.visual_tokens"]["verdict"] == "pass"
    assert rows["out.visual_tokens"]["tolerance"] == 5e-5
    assert 0 <= rows["out.visual_tokens"]["difference"] < 5e-5
