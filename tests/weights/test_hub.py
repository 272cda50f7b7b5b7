"""Adapters by the name of a repository: fetched from the hub, read from its cache, and every way in which it fails."""

import huggingface_hub.constants as constants
import pytest
import torch

from helpers.hub import serving
from helpers.trained_tiny import trained_tiny_model
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.predictor import SamPredictor
from lavis_sam.weights import hub
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.hub import download_adapter, is_repository


@pytest.fixture(scope="module")
def trained():
    return trained_tiny_model()


@pytest.fixture(scope="module")
def adapter(trained, tmp_path_factory):
    folder = save_adapter(tmp_path_factory.mktemp("hub") / "adapter", trained, model_type="tiny")
    (folder / "further.py").write_text("raise SystemExit")
    return folder


def test_from_pretrained_fetches_an_adapter_and_reads_the_cache_without_a_network(
    trained, adapter, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with serving("user/adapter", adapter, tmp_path / "cache", monkeypatch) as asked:
        found = SamPredictor.from_pretrained("user/adapter", device="cpu")
        assert torch.equal(found.model.llm_proj.weight, trained.llm_proj.weight)
        assert not [path for path in asked if path.endswith((".py", ".md"))], "an adapter's two files alone are fetched"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again = SamPredictor.from_pretrained("user/adapter", device="cpu")
    assert torch.equal(again.model.llm_proj.weight, trained.llm_proj.weight)


def test_a_repository_that_is_not_there_is_named(adapter, tmp_path, monkeypatch):
    with (
        serving("user/adapter", adapter, tmp_path / "cache", monkeypatch),
        pytest.raises(SamConfigurationError, match=r"'user/adaptor': .* has no such repository, or it is private"),
    ):
        download_adapter("user/adaptor")


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SamConfigurationError) as error:
        SamPredictor.from_pretrained("user/adapter", device="cpu")
    assert "there is no such file or folder here" in str(error.value)
    assert "not in the local cache" in str(error.value)
    assert "copy the adapter's folder to this machine and give its path" in str(error.value)


def test_a_hub_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(SamConfigurationError, match=r"cannot be asked for it, .*refused"):
        download_adapter("user/adapter")


def test_a_repository_without_an_adapter_is_refused(adapter, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "instructblip"}')
    with (
        serving("user/base", other, tmp_path / "cache", monkeypatch),
        pytest.raises(SamCheckpointError, match=r"has no sam_adapter\.safetensors, so it is no adapter"),
    ):
        download_adapter("user/base")


@pytest.mark.parametrize("name", ["config.json", "sam_adapter.safetensors"])
def test_a_file_that_is_too_large_is_not_fetched(adapter, tmp_path, monkeypatch, name):
    size = (adapter / name).stat().st_size
    with serving("user/large", adapter, tmp_path / "cache", monkeypatch) as asked:
        monkeypatch.setitem(hub._MOST_BYTES, name, size - 1)
        with pytest.raises(SamCheckpointError, match=rf"{name} has {size} bytes .* wanted at most {size - 1}"):
            download_adapter("user/large")
        assert not [path for path in asked if "/resolve/" in path]
        monkeypatch.setitem(hub._MOST_BYTES, name, size)
        assert (download_adapter("user/large") / name).stat().st_size == size


def test_sizes_that_cannot_be_asked_for_leave_the_cache_alone(adapter, tmp_path, monkeypatch):
    def refuse(*given, **options):
        raise ConnectionError("the hub is busy")

    with serving("user/adapter", adapter, tmp_path / "cache", monkeypatch) as asked:
        monkeypatch.setattr(hub.HfApi, "model_info", refuse)
        with pytest.raises(SamConfigurationError, match=r"not in the local cache \(the hub is busy\)"):
            download_adapter("user/adapter")
        assert not asked


def test_a_damaged_adapter_is_refused_like_one_on_the_disk(adapter, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_bytes((adapter / "config.json").read_bytes())
    (other / "sam_adapter.safetensors").write_bytes(b"\x00" * 64)
    monkeypatch.chdir(tmp_path)
    with serving("user/bad", other, tmp_path / "cache", monkeypatch), pytest.raises(SamCheckpointError):
        SamPredictor.from_pretrained("user/bad", device="cpu")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("user/adapter", True),
        ("adapter", False),
        ("output/run", False),  # below a folder that is here
        ("/user/adapter", False),
        ("./adapter", False),
        ("~/adapter", False),
        ("a/b/c", False),
        ("user/", False),
        ("user/ada pter", False),
    ],
)
def test_is_repository(tmp_path, monkeypatch, source, wanted):
    (tmp_path / "output").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_repository(source) is wanted
