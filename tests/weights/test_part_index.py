"""The index of a folder's parts: given as the file it stands for them, and a damaged one is one clear error."""

import json

import pytest
import torch
from safetensors.torch import save_file

from helpers.instructblip import folder_config, transformers_model, write_folder
from lavis_sam.errors import SamCheckpointError
from lavis_sam.predictor.load_model import model_config
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoint_files import read_checkpoint
from lavis_sam.weights.part_index import INDEX_FILE, OLD_INDEX_FILE, read_index

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}


def write_parts(folder, kind=INDEX_FILE, listed=None):
    ending, write = (".safetensors", save_file) if kind == INDEX_FILE else (".bin", torch.save)
    weight_map = {name: f"part-{number}{ending}" for number, name in enumerate(STATE)}
    for name, part in weight_map.items():
        write({name: STATE[name]}, folder / part)
    (folder / kind).write_text(json.dumps({"weight_map": listed or weight_map}))
    return folder / kind


@pytest.mark.parametrize("kind", [INDEX_FILE, OLD_INDEX_FILE])
def test_an_index_given_as_the_file_stands_for_its_parts(tmp_path, kind):
    found = read_checkpoint(write_parts(tmp_path, kind))
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


def test_an_index_that_promises_more_than_its_parts_hold_is_refused(tmp_path):
    listed = {"a.weight": "part-0.safetensors", "b": "part-1.safetensors", "gone": "part-1.safetensors"}
    with pytest.raises(SamCheckpointError, match="1 tensors are in none of its files: gone"):
        read_checkpoint(write_parts(tmp_path, listed=listed))


@pytest.mark.parametrize(
    "part", ["", ".", "..", "../a.bin", "/etc/passwd", "a\0b", "\ud800", 3, None, ["a"], {}, INDEX_FILE, "x" * 300]
)
def test_an_index_that_names_what_is_no_part_is_one_clear_error(tmp_path, part):
    index = write_parts(tmp_path, listed={"a.weight": "part-0.safetensors", "b": part})
    with pytest.raises(SamCheckpointError, match=r"which is no file of this folder|Give the path of a \.pth"):
        read_checkpoint(index)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"weight_map":' * 100_000, "[]", "{}", '{"weight_map": []}', "\0", '{"weight_map": {}}']
)
def test_a_damaged_index_is_one_clear_error(tmp_path, content):
    (tmp_path / INDEX_FILE).write_text(content)
    with pytest.raises(SamCheckpointError, match=r"index\.json: .*Fetch the folder again"):
        read_index(tmp_path / INDEX_FILE)


def test_the_index_of_a_transformers_folder_is_the_folder_wherever_one_is_wanted(tmp_path):
    folder = write_folder(transformers_model(), tmp_path / "base")
    index = folder / INDEX_FILE
    wanted, found = build_model(folder_config(folder)), build_model(folder_config(index))
    assert torch.equal(found.llm_proj.weight, wanted.llm_proj.weight)
    assert torch.equal(found.llm_model.lm_head.weight, wanted.llm_model.lm_head.weight)
    assert model_config(index) == model_config(folder)
    assert model_config("vicuna7b", base=index).sizes == model_config("vicuna7b", base=folder).sizes
