"""Every kind of checkpoint, each damaged in every way, through the door that users take: one clear error."""

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file, save_file

from helpers.instructblip import folder_config, transformers_model, write_folder
from helpers.models import SIZES, small_model
from helpers.weights import config_for, write_release
from lavis_sam.errors import SamCheckpointError
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import save_checkpoint, to_released, trainable_state_dict, trained_checkpoint


class Payload:
    """What an attacker would put where a tensor belongs."""

    def __reduce__(self):
        return (print, ("EXECUTED",))


@dataclass
class Kind:
    """A kind of checkpoint: the weight file that is to be damaged, and a tensor in it that is not square."""

    file: str
    tensor: str


KINDS = {
    "eva": Kind("eva.pth", "blocks.0.mlp.fc1.weight"),
    "instructblip": Kind("instructblip.pth", "llm_proj.weight"),
    "vicuna": Kind("vicuna/model.safetensors", "model.layers.0.mlp.up_proj.weight"),
    "transformers": Kind("folder/model.safetensors", "language_projection.weight"),
    "released": Kind("released.pth", "llm_proj.weight"),
    "ours": Kind("checkpoint_best.pth", "llm_proj.weight"),
    "adapter": Kind("adapter/sam_adapter.safetensors", "llm_proj.weight"),
}


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def pristine(model, tmp_path_factory):
    """One of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    write_release(folder, model)
    write_folder(transformers_model(), folder / "folder", shards=False)
    torch.save({"model": to_released(trainable_state_dict(model))}, folder / "released.pth")
    save_checkpoint(folder / "checkpoint_best.pth", trained_checkpoint(model, {}))
    save_adapter(folder / "adapter", model, model_type="vicuna7b")
    return folder


@pytest.fixture
def files(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "copy")


def config_of(kind: str, model: SemanticAlignment, files: Path) -> DictConfig:
    """A config that loads this kind."""
    if kind == "transformers":
        return folder_config(files / "folder")
    base = {
        "pretrained": str(files / "instructblip.pth"),
        "vit_checkpoint": str(files / "eva.pth"),
        "llm_model": str(files / "vicuna"),
        "bert_tokenizer": str(files / "folder" / "qformer_tokenizer"),
    }
    trained = {"released": "released.pth", "ours": "checkpoint_best.pth", "adapter": "adapter"}
    finetuned = str(files / trained[kind]) if kind in trained else ""
    return config_for(model, SIZES, base, finetuned=finetuned)


def load(config: DictConfig) -> SemanticAlignment:
    return build_model(config)


def read(path: Path) -> dict:
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


def write(path: Path, content: dict) -> None:
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)


def truncate(path: Path, tensor: str) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def plant_pickle(path: Path, tensor: str) -> None:
    if path.suffix == ".safetensors":
        path.write_bytes(pickle.dumps(Payload()))
    else:
        torch.save({"model": {tensor: Payload()}}, path)


def replace_by_another_architecture(path: Path, tensor: str) -> None:
    write(path, {"conv1.weight": torch.ones(2, 3), "layer1.0.bn1.bias": torch.ones(2)})


def swap_shape(path: Path, tensor: str) -> None:
    content = read(path)
    weights = content.get("model", content)
    weights[tensor] = weights[tensor].T.contiguous()
    write(path, content)


DAMAGES = {
    "truncated": (truncate, ("truncated, damaged",)),
    "pickle": (plant_pickle, ("asks Python to run print", "no readable checkpoint")),
    "architecture": (replace_by_another_architecture, ("2 unexpected: ",)),
    "shape": (swap_shape, ("] in the file and [",)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_loads_as_long_as_it_is_whole(kind, model, files):
    assert not any(parameter.is_meta for parameter in load(config_of(kind, model, files)).parameters())


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_damaged_is_one_clear_error(kind, damage, model, files, capsys):
    harm, words = DAMAGES[damage]
    path = files / KINDS[kind].file
    config = config_of(kind, model, files)
    harm(path, KINDS[kind].tensor)
    with pytest.raises(SamCheckpointError) as error:
        load(config)
    message = str(error.value)
    assert any(word in message for word in words), message
    assert str(path.parent if damage in ("architecture", "shape") else path) in message
    assert "EXECUTED" not in capsys.readouterr().out
