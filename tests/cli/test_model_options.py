"""What the commands that load a model have in common: help and errors."""

import pytest

from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose"))


@pytest.mark.parametrize("command", ["caption", "explain", "export", "doctor"])
def test_help_has_examples_and_exit_codes(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"lavis-sam {command}" in out.split("Examples:")[1]
    assert "Exit code 0" in " ".join(out.split())


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
