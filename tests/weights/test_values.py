"""Weights that are no numbers are refused before a model has them, whatever they come from."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.instructblip import folder_config, transformers_model, write_folder
from helpers.models import small_model
from helpers.toy_llm import toy_llm
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.adapters import load_adapter, save_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import load_checked, save_checkpoint, trained_checkpoint
from lavis_sam.weights.language_models import load_llm
from lavis_sam.weights.trained import load_trained
from lavis_sam.weights.values import unusable_values

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("numbers", "kind", "wanted", "words"),
    [
        ([1.0, NAN, INF], torch.float32, torch.float32, "has 2 of 3 numbers that are NaN or infinite"),
        ([1.0, -INF], torch.float16, torch.float32, "has 1 of 2 numbers that are NaN or infinite"),
        ([NAN], torch.bfloat16, torch.float16, "has 1 of 1 numbers that are NaN"),
        ([NAN, 1.0], torch.float8_e4m3fn, torch.float32, "has 1 of 2 numbers that are NaN"),
        ([1.0, 7e4, -1e5], torch.float32, torch.float16, r"has 2 of 3 numbers that torch\.float16 cannot hold .*65504"),
        ([3.4028e38], torch.float32, torch.bfloat16, r"has 1 of 1 numbers that torch\.bfloat16 cannot hold"),
    ],
)
def test_numbers_that_a_model_cannot_hold_are_counted(numbers, kind, wanted, words):
    tensor = torch.tensor(numbers).to(kind)
    model = nn.ParameterDict({"weight": nn.Parameter(torch.zeros(len(numbers), dtype=wanted))})
    with pytest.raises(SamCheckpointError, match=f"x does not fit .*\n.*weight {words}"):
        load_checked(model, {"weight": tensor}, provides=["*"], source="x")
    assert not model["weight"].any()


@pytest.mark.parametrize(
    ("tensor", "wanted"),
    [
        (torch.tensor([65504.0, 65510.0]), torch.float16),  # which is rounded down
        (torch.tensor([3.4e38]), torch.float32),
        (torch.tensor([1e-30]), torch.float16),
        (torch.empty(0), torch.float32),
        (torch.tensor([2**40]), torch.int64),
        (torch.tensor(True), torch.bool),
    ],
)
def test_numbers_that_a_model_can_hold_are_usable(tensor, wanted):
    assert unusable_values("a", tensor, wanted) == ""


def spoil(tensor):
    changed = tensor.clone()
    changed.view(-1)[3] = NAN
    return changed


@pytest.mark.parametrize("name", ["llm_proj.weight", "w_former.linear_c.bias", "pad_rows"])
@pytest.mark.parametrize("kind", ["checkpoint", "adapter"])
def test_trained_layers_with_a_nan_leave_the_model_as_it_was(tmp_path, name, kind):
    trained, model = small_model(seed=1), small_model(seed=1)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    if kind == "checkpoint":
        content = trained_checkpoint(trained, {})
        place = content["model"] if name != "pad_rows" else content["pad_rows"]
        key = name if name != "pad_rows" else "llm_model.lm_head.weight"
        place[key] = spoil(place[key])
        save_checkpoint(tmp_path / "a.pth", content)
        load = lambda: load_trained(model, tmp_path / "a.pth")  # noqa: E731
    else:
        path = save_adapter(tmp_path / "a", trained, model_type="vicuna7b") / "sam_adapter.safetensors"
        tensors = load_file(path)
        key = name if name != "pad_rows" else "pad_rows.llm_model.lm_head.weight"
        save_file(tensors | {key: spoil(tensors[key])}, path)
        load = lambda: load_adapter(model, tmp_path / "a")  # noqa: E731
    words = name if name != "pad_rows" else r"\[PAD\] row of llm_model.lm_head.weight"
    with pytest.raises(SamCheckpointError, match=rf"{words} has 1 of \d+ numbers that are NaN or infinite"):
        load()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("part", ["visual_encoder", "language_model"])
def test_a_nan_anywhere_in_a_streamed_base_is_refused_by_its_name(tmp_path, part):
    folder = write_folder(transformers_model(), tmp_path / "base", shards=False)
    tensors = load_file(folder / "model.safetensors")
    name = {
        "visual_encoder": "vision_model.encoder.layers.1.mlp.fc1.weight",
        "language_model": "language_model.model.layers.0.mlp.up_proj.weight",
    }[part]
    tensors[name] = spoil(tensors[name])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SamCheckpointError, match=r"(fc1|up_proj)\.weight has 1 of \d+ numbers that are NaN"):
        build_model(folder_config(folder))


def test_a_language_model_beyond_fp16_is_refused_and_the_remedy_named(tmp_path):
    llm_model = toy_llm(vocabulary=196)
    with torch.no_grad():
        llm_model.model.layers[0].mlp.up_proj.weight[0, 0] = 1e5
    llm_model.save_pretrained(tmp_path)
    load_llm(tmp_path, torch.bfloat16)
    with pytest.raises(SamCheckpointError, match=r"torch\.float16 cannot hold .*model\.precision to bf16 or fp32"):
        load_llm(tmp_path, torch.float16)
