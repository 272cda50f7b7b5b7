"""`lavis-sam explain` on the command line."""

import json
import re
from pathlib import Path

from PIL import Image

from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose"))


def test_explain_draws_into_a_folder(run, tmp_path):
    code, out, _ = run("explain", CAT, NOSE, "--out", tmp_path / "out", "--device", "cpu")
    assert code == 0
    assert re.search(r"cat_eyes.jpg: its semantics change without cat_nose.jpg [1-9][\d.]*%", out)
    assert Image.open(tmp_path / "out" / "overview.png").size[0] > 300
    code, out, _ = run("explain", CAT, "--out", tmp_path / "one", "--device", "cpu", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["masked_change"] == [[0.0]]
    assert Path(result["files"]["arrays"]).is_file()
