"""Adapters from strangers, damaged or with anything in them: an error of ours, or exactly what they say."""

import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import damaged, fuzz_settings, limited_memory
from helpers.models import small_model
from lavis_sam.errors import SamCheckpointError, SamError
from lavis_sam.predictor.load_model import model_config
from lavis_sam.weights.adapters import load_adapter, read_adapter_config, save_adapter

MEGABYTES = 1024
CONFIG, WEIGHTS = "config.json", "sam_adapter.safetensors"
KEYS = [
    "model_type",
    "trainable",
    "guidance",
    "max_txt_len",
    "max_output_txt_len",
    "prompt",
    "base",
    "inject",
    "format",
]
TEXTS = st.text(max_size=8) | st.text(alphabet="${}\\?a:", max_size=8) | st.sampled_from(["${oc.env:HOME}", "???"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.sampled_from(["context"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    return save_adapter(tmp_path_factory.mktemp("adapters") / "one", model, model_type="tiny")


def copy_of(adapter, tmp_path):
    return shutil.copytree(adapter, tmp_path / "copy", dirs_exist_ok=True)


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
@fuzz_settings(100)
@given(data=st.data())
def test_damaged_adapters_load_whole_or_leave_the_model_as_it_was(adapter, tmp_path, model, file, data):
    folder = copy_of(adapter, tmp_path)
    (folder / file).write_bytes(data.draw(damaged((adapter / file).read_bytes())))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with limited_memory(MEGABYTES):
        try:
            load_adapter(model, folder)
        except SamError:
            assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        else:
            assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@fuzz_settings(60)
@given(changes=st.dictionaries(st.sampled_from(KEYS), JSON, min_size=1, max_size=2))
def test_what_an_adapter_says_is_taken_literally_or_refused(adapter, tmp_path, changes):
    folder = copy_of(adapter, tmp_path)
    said = json.loads((adapter / CONFIG).read_text()) | changes
    (folder / CONFIG).write_text(json.dumps(said))
    with limited_memory(MEGABYTES):
        try:
            config = model_config("tiny", checkpoint=folder)
        except SamError:
            return
    for key in ("trainable", "prompt", "max_txt_len", "max_output_txt_len"):
        assert config[key] == said[key]
    assert config.guidance.get("context", "all") == said["guidance"].get("context", "all")


@fuzz_settings(30)
@given(depth=st.integers(1, 200_000), opening=st.sampled_from(["[", '{"a":', '{"guidance":{"context":']))
def test_nested_configurations_are_one_clear_error(adapter, tmp_path, depth, opening):
    folder = copy_of(adapter, tmp_path)
    (folder / CONFIG).write_text(opening * depth)
    with limited_memory(MEGABYTES), pytest.raises(SamCheckpointError, match=r"config\.json: "):
        read_adapter_config(folder)
