"""What the package holds: a config for every model type, and paths into its folder."""

from pathlib import Path

import pytest

from lavis_sam.weights.packaged import MODEL_CONFIGS, MODEL_TYPES, PACKAGE, TINY_TOKENIZERS, locate


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_model_type_has_its_config(model_type):
    assert Path(MODEL_CONFIGS[model_type]).is_file()


def test_locate_fills_in_the_package_and_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("package:assets/tiny/tokenizers") == str(TINY_TOKENIZERS) == str(PACKAGE / "assets/tiny/tokenizers")
    assert locate("~/weights.pth") == str(tmp_path / "weights.pth")
    assert locate("/data/package:x") == "/data/package:x"
