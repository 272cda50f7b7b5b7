"""`caption`, `explain`, `export` and `doctor` on the command line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from lavis_sam.doctor import Finding, Report, Verdict
from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose"))
GREEDY = ("--num-beams", "1", "--max-length", "8", "--device", "cpu")


@pytest.mark.parametrize("command", ["caption", "explain", "export", "doctor"])
def test_help_has_examples_and_exit_codes(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"lavis-sam {command}" in out.split("Examples:")[1]
    assert "Exit code 0" in " ".join(out.split())


def test_caption_prints_the_answer_and_nothing_else(run):
    code, out, err = run("caption", CAT, NOSE, "--prompt", "What do both images show?", *GREEDY)
    assert code == 0
    assert len(out.strip().splitlines()) == 1
    assert "SAM's layers are untrained" in err


def test_caption_as_json(run):
    code, out, _ = run("caption", CAT, NOSE, "-p", "What?", *GREEDY, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["images"] == [CAT, NOSE]
    assert result["decoding"]["num_beams"] == 1
    assert result["is_trained"] is False
    _, plain, _ = run("caption", CAT, NOSE, "-p", "What?", *GREEDY)
    assert result["answers"] == [plain.strip()]


def test_caption_streams_the_same(run):
    _, whole, _ = run("caption", CAT, "-p", "What?", *GREEDY)
    code, pieces, _ = run("caption", CAT, "-p", "What?", *GREEDY, "--stream")
    assert (code, pieces) == (0, whole)


def test_caption_gives_several_answers(run):
    code, out, _ = run("caption", CAT, "--num-beams", "2", "--num-captions", "2", "--max-length", "6", "--json")
    assert code == 0
    assert len(json.loads(out)["answers"]) == 2


def test_explain_draws_into_a_folder(run, tmp_path):
    code, out, _ = run("explain", CAT, NOSE, "--out", tmp_path / "out", "--device", "cpu")
    assert code == 0
    assert "cat_eyes.jpg: its semantics change without cat_nose.jpg 0.0%" in out
    assert Image.open(tmp_path / "out" / "overview.png").size[0] > 300
    code, out, _ = run("explain", CAT, "--out", tmp_path / "one", "--device", "cpu", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["masked_change"] == [[0.0]]
    assert Path(result["files"]["arrays"]).is_file()


def test_export_in_every_format_and_back(run, tmp_path):
    code, out, _ = run("export", tmp_path / "adapter", "--json")
    assert code == 0
    assert json.loads(out)["format"] == "adapter"
    code, out, _ = run("export", tmp_path / "sam.pth", "--format", "released", "--checkpoint", tmp_path / "adapter")
    assert code == 0
    assert out.startswith("released: ")
    code, _, _ = run("export", tmp_path / "base", "--format", "instructblip")
    assert code == 0
    _, wanted, _ = run("caption", CAT, "-p", "What?", *GREEDY)
    for options in (
        ("--model", tmp_path / "adapter"),
        ("--checkpoint", tmp_path / "sam.pth"),
        ("--model", tmp_path / "base", "--precision", "fp32"),
    ):
        assert run("caption", CAT, "-p", "What?", *GREEDY, *options)[1] == wanted


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("caption", "nowhere.jpg"), "nowhere.jpg cannot be read as an image"),
        (("caption", CAT, "--model", "tinny"), "'tinny' is no packaged model type"),
        (("caption", CAT, "--num-beams", "0"), "num_beams of generate is 0"),
        (("caption", CAT, "--stream"), "num_beams is 5"),
        (("caption", CAT, "--stream", "--json"), "give one of them"),
        (("explain", CAT, "--out", CAT), "File exists"),
        (("export", PHOTOGRAPHS), "is a folder with other files in it"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, monkeypatch, arguments, words):
    monkeypatch.delenv("LAVIS_SAM_DEBUG", raising=False)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("lavis-sam: error: ")
    assert words in last
    assert "Traceback" not in err


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
