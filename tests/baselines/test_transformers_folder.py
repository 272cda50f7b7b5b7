"""Every local model is a random one of some kilobytes, in the folder layout that its authors use."""

import json
import shutil

import pytest
import torch

from helpers.local_models import load
from lavis_sam import distributed
from lavis_sam.baselines import transformers_folder
from lavis_sam.errors import SamCheckpointError, SamConfigurationError


@pytest.mark.parametrize("name", ["llava", "blip2_opt"])
def test_precision(folders, ask, name):
    answerer = load(folders(name), precision="bf16")
    assert answerer.describe()["precision"] == "bfloat16"
    assert len(answerer.answer([ask("a"), ask("b", count=1)])) == 2


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_is_not_whole_is_refused(folders, tmp_path, damage):
    folder = shutil.copytree(folders("llava"), tmp_path / "damaged")
    (folder / damage).unlink()
    with pytest.raises(SamCheckpointError, match=r"damaged: found no .* nothing is downloaded"):
        load(folder)


def test_pickled_weights_are_not_read(folders, tmp_path):
    folder = shutil.copytree(folders("llava"), tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(SamCheckpointError, match="found no ModelForImageTextToText"):
        load(folder)


def test_code_that_comes_with_a_model_is_not_run(folders, tmp_path):
    folder = shutil.copytree(folders("llava"), tmp_path / "coded")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(SamCheckpointError):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_no_such_model_or_setting(tmp_path):
    with pytest.raises(SamCheckpointError, match="nowhere: there is no such folder, and no model of this name"):
        load(tmp_path / "nowhere")
    with pytest.raises(SamConfigurationError, match="int4"):
        load(tmp_path, precision="int4")


@pytest.mark.parametrize("name", ["llava", "instructblip"])
def test_device_map_changes_no_answer(folders, ask, monkeypatch, name):
    plain = load(folders(name))
    asked, read = [], transformers_folder._read
    monkeypatch.setattr(
        transformers_folder,
        "_read",
        lambda *given, **more: asked.append(more.get("device_map")) or read(*given, **more),
    )
    spread = load(folders(name), device_map="auto")
    assert asked == [None, None, "auto"]
    questions = [ask("a"), ask("b", count=1)]
    assert spread.answer(questions) == plain.answer(questions)
    assert spread.describe() == plain.describe()
    assert spread.device == plain.device


def test_device_map_of_several_processes_is_refused(folders, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(SamConfigurationError, match="--device-map: found 2 processes"):
        load(folders("llava"), device_map="auto")


@pytest.mark.parametrize("name", ["models/gone/llava", "gone", "/gone", "a b", ""])
def test_a_folder_that_is_not_there_is_refused_before_transformers_is_asked(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transformers_folder, "_read", None)
    with pytest.raises(
        SamCheckpointError, match="there is no such folder, and no model of this name in the local cache"
    ):
        load(name)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(SamCheckpointError, match=r"model\.safetensors: is a file"):
        load(tmp_path / "model.safetensors")
