"""`lavis-sam export` on the command line."""

import json

from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose"))
GREEDY = ("--num-beams", "1", "--max-length", "8", "--device", "cpu")


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
