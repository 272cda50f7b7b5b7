"""What the commands that load a model have in common: help and errors."""

import json

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
        (("caption", "nowhere.jpg"), "nowhere.jpg: there is no such file"),
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


@pytest.mark.parametrize(
    ("words", "length"),
    [((), 256), (("--max-new-tokens", "23"), 24), (("--max-length", "24"), 24), (("--max-new-tokens", "1"), 2)],
)
def test_the_most_tokens_go_by_the_name_of_the_field_or_the_one_before(run, words, length):
    code, out, err = run("caption", CAT, "--num-beams", 1, "--device", "cpu", "--json", *words)
    assert code == 0, err
    assert json.loads(out)["decoding"]["max_length"] == length


def test_two_names_of_one_option_are_not_given_together(run):
    code, _, err = run("caption", CAT, "--max-new-tokens", 5, "--max-length", 9)
    assert code == 2
    assert "--max-new-tokens and --max-length: found 5 and 9, wanted one of them" in err


@pytest.mark.parametrize("command", ["caption", "baseline"])
def test_the_name_before_is_not_shown(run, command):
    out = run(command, "--help")[1]
    assert "--max-new-tokens" in out
    assert "--max-length" not in out


@pytest.mark.parametrize("command", [("export",), ("data", "shards", "data")])
def test_the_place_to_write_is_given_once(run, command):
    assert "--out: missing, wanted one place to write to" in run(*command)[2]
    assert "--out: found there and here, wanted one place to write to" in run(*command, "here", "--out", "there")[2]


@pytest.mark.parametrize("option", [(), ("--out",), ("-o",)])
def test_export_takes_its_place_as_option_or_argument(run, tmp_path, option):
    code, _, err = run("export", *option, tmp_path / "sam.pth", "--format", "released")
    assert code == 0, err
    assert (tmp_path / "sam.pth").is_file()
