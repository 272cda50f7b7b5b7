"""Where weight files are looked for: config before environment, and all missing ones in one message."""

import socket

import pytest

from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.locations import WeightSource, finetuned_path, require_files, weight_sources


def source(path, **more):
    return WeightSource(path, "model.vit", "LAVIS_SAM_TEST_VIT", "the ViT", **more)


def test_all_missing_files_are_listed_at_once_without_the_network(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    (tmp_path / "llm").mkdir()
    sources = [
        source(tmp_path / "vit.pth"),
        WeightSource("", "model.pretrained", "LAVIS_SAM_TEST_BASE", "InstructBLIP"),
        WeightSource(
            tmp_path / "llm",
            "model.llm",
            "LAVIS_SAM_TEST_LLM",
            "Vicuna",
            contents=("config.json", "*.safetensors|*.bin"),
        ),
        WeightSource("https://example.org/x.pth", "model.finetuned", "LAVIS_SAM_TEST_TUNED", "SAM"),
        WeightSource(tmp_path, "model.present", "LAVIS_SAM_TEST_HERE", "a folder that is there", contents=("llm",)),
    ]
    with pytest.raises(SamCheckpointError) as error:
        require_files(sources, hint="Ask the author.")
    message = str(error.value)
    assert message.startswith("4 files or folders that this model needs")
    for one in sources[:4]:
        assert one.config_key in message
        assert one.environment in message
        assert one.description in message
    assert f"{tmp_path / 'vit.pth'} does not exist; put it there, or set model.vit in the config" in message
    assert message.count("put it there") == 1
    assert "Nothing was downloaded. Ask the author. model_type" in message
    assert "has no config.json, no *.safetensors or *.bin" in message
    assert "is an address" in message
    assert "present" not in message
    assert 'model_type="tiny" works offline' in message


def test_the_config_goes_before_the_environment(tmp_path, monkeypatch):
    first, second = tmp_path / "first.pth", tmp_path / "second.pth"
    first.touch()
    second.touch()
    monkeypatch.setenv("LAVIS_SAM_TEST_VIT", str(second))
    assert require_files([source(first), source(None), source(" ")]) == [first, second, second]
    monkeypatch.delenv("LAVIS_SAM_TEST_VIT")
    with pytest.raises(SamCheckpointError, match=r"the ViT: not set; set model\.vit"):
        require_files([source(None)])


def test_home_and_variables_in_paths_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WEIGHTS", "w")
    (tmp_path / "w").touch()
    assert require_files([source("~/${WEIGHTS}")]) == [tmp_path / "w"]


def test_a_folder_for_a_file_and_the_reverse(tmp_path):
    (tmp_path / "file").touch()
    assert "is a folder, a file is wanted" in (source(tmp_path).problem() or "")
    assert "is a file, a folder is wanted" in (source(tmp_path / "file", contents=("x",)).problem() or "")


def test_finetuned_may_be_the_folder_of_a_run(tmp_path):
    run = tmp_path / "tiny" / "mine"
    run.mkdir(parents=True)
    (run / "checkpoint_3.pth").touch()
    assert finetuned_path({"finetuned": str(run)}) == str(run / "checkpoint_3.pth")
    (run / "checkpoint_best.pth").touch()
    assert finetuned_path({"finetuned": str(run)}) == str(run / "checkpoint_best.pth")
    assert finetuned_path({"finetuned": str(run), "load_finetuned": False}) == ""
    with pytest.raises(SamCheckpointError, match=r"a folder of runs, wanted one of them: .*mine"):
        weight_sources({"finetuned": str(run.parent)})
