"""What the package holds: a config for every model type, and paths into its folder."""

from pathlib import Path

import pytest

from lavis_sam.weights.packaged import MODEL_CONFIGS, MODEL_TYPES, PACKAGE, TINY_TOKENIZERS, locate, locate_folder


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_model_type_has_its_config(model_type):
    assert Path(MODEL_CONFIGS[model_type]).is_file()


def test_locate_fills_in_the_package_and_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("package:assets/tiny/tokenizers") == str(TINY_TOKENIZERS) == str(PACKAGE / "assets/tiny/tokenizers")
    assert locate("~/weights.pth") == str(tmp_path / "weights.pth")
    assert locate("/data/package:x") == "/data/package:x"


def test_locate_folder_takes_an_index_for_the_folder_of_a_model_alone(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    assert locate_folder(str(index)) == str(index)
    (tmp_path / "config.json").write_text("{}")
    assert locate_folder(str(index)) == locate_folder(str(tmp_path)) == str(tmp_path)
    assert locate_folder(str(tmp_path / "model.safetensors")) == str(tmp_path / "model.safetensors")
