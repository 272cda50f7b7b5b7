"""Adapters: what was trained, given away as a folder and loaded again; and every way in which one may not fit."""

import json
import pickle
import shutil
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.models import SIZES, random_batch, small_model
from helpers.weights import config_for, write_release
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.adapters import load_adapter, read_adapter_config, save_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import pad_rows, trainable_state_dict
from lavis_sam.weights.trained import load_trained


@pytest.fixture(scope="module")
def trained():
    return small_model()


@pytest.fixture(scope="module")
def adapter(trained, tmp_path_factory):
    return save_adapter(tmp_path_factory.mktemp("adapters") / "one", trained, model_type="vicuna7b")


@pytest.fixture
def copy(adapter, tmp_path):
    return shutil.copytree(adapter, tmp_path / "copy")


def base_of(trained, **guidance):
    """The same base, with SAM's layers, projection and [PAD] rows as somebody else has them."""
    model = small_model(**guidance)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.zero_()
        for table in (model.llm_model.get_input_embeddings(), model.llm_model.lm_head):
            table.weight[-1] = 0
    return model


def test_an_adapter_makes_the_trained_model_of_its_base(trained, adapter):
    model = base_of(trained)
    report = load_adapter(model, adapter)
    assert report.loaded == set(trainable_state_dict(trained))
    for name, tensor in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    batch = random_batch([2, 3])
    assert torch.equal(model(batch)["loss"], trained(batch)["loss"])


def test_load_trained_and_the_config_take_the_folder_as_they_take_a_file(trained, adapter, tmp_path):
    model = base_of(trained)
    load_trained(model, adapter)
    assert torch.equal(model.llm_proj.weight, trained.llm_proj.weight)
    config = config_for(trained, SIZES, write_release(tmp_path, small_model()), finetuned=str(adapter))
    built = build_model(config)
    assert torch.equal(built.w_former.linear_c.weight, trained.w_former.linear_c.weight)


def test_a_folder_that_is_no_adapter_is_refused_before_anything_is_read(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    config = config_for(trained, SIZES, write_release(tmp_path, trained), finetuned=str(tmp_path / "empty"))
    with pytest.raises(SamCheckpointError, match=r"empty has no config\.json, no sam_adapter\.safetensors; set model"):
        build_model(config)


def test_what_is_in_the_folder(trained, adapter):
    assert sorted(path.name for path in adapter.iterdir()) == ["README.md", "config.json", "sam_adapter.safetensors"]
    tensors = load_file(adapter / "sam_adapter.safetensors")
    assert {name for name in tensors if not name.startswith("pad_rows.")} == set(trainable_state_dict(trained))
    assert {f"pad_rows.{name}" for name in pad_rows(trained)} <= set(tensors)
    said = json.loads((adapter / "config.json").read_text())
    assert said["trained_parameters"] == sum(t.numel() for t in trainable_state_dict(trained).values())
    assert said["versions"]["lavis_sam"]
    config = read_adapter_config(adapter)
    assert config.guidance == asdict(trained.guidance)
    card = (adapter / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: lavis_sam\n")
    assert "SamPredictor.from_pretrained" in card
    assert "| `context` | `all` |" in card
    assert "/" + "work" not in card + json.dumps(said), "no path of this machine goes with it"


def test_the_real_adapter_is_17_megabytes():
    """4,332,417 float32 numbers and two [PAD] rows."""
    assert round((4_332_417 * 4 + 2 * 4096 * 2) / 1e6) == 17


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_base_is_recognised_in_every_precision(trained, adapter, dtype):
    model = base_of(trained)
    model.llm_model.to(dtype)
    for block in model.visual_encoder.blocks:
        block.attn.qkv.to(dtype)
    load_adapter(model, adapter)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("llm_model.model.layers.0.self_attn.q_proj.weight", "language model"),
        ("llm_model.lm_head.weight", "language model's head"),
        ("visual_encoder.blocks.0.attn.qkv.weight", "vision encoder"),
        ("Qformer.bert.encoder.layer.0.attention.self.query.weight", "Q-Former"),
    ],
)
def test_another_base_is_refused_by_the_part_that_differs(trained, adapter, name, part):
    """As far away as another fine-tuning of the same model: 2 % of each number."""
    model = base_of(trained)
    parameter = model.get_parameter(name)
    with torch.no_grad():
        parameter.mul_(1 + 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    before = model.llm_proj.weight.clone()
    with pytest.raises(SamCheckpointError, match=f"trained over another base; different are {part}") as error:
        load_adapter(model, adapter)
    assert "vicuna7b" in str(error.value)
    assert torch.equal(model.llm_proj.weight, before), "nothing was loaded"


def edit(**changes):
    def apply(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def rewrite(change):
    def apply(folder):
        path = folder / "sam_adapter.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return apply


def truncate(folder):
    path = folder / "sam_adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "truncated, damaged"),
        (lambda f: (f / "sam_adapter.safetensors").write_bytes(pickle.dumps(print)), "no readable checkpoint"),
        (lambda f: (f / "sam_adapter.safetensors").unlink(), "No such file"),
        (lambda f: (f / "config.json").unlink(), "config.json: unreadable file: No such file"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json: not JSON: maximum recursion"),
        (edit(format="something"), "format is 'something', 'lavis_sam adapter' is wanted"),
        (edit(format_version=2), "format_version is 2, this lavis_sam reads 1"),
        (edit(model_type="../../etc"), "model_type is '../../etc', one of vicuna7b, vicuna13b, tiny"),
        (edit(guidance="all"), "guidance is 'all', a value of type dict is wanted"),
        (edit(guidance={"context": "others"}), "another model.guidance: context = 'others', not 'all'"),
        (rewrite(lambda t: t.pop("w_former.linear_c.weight")), "1 missing: w_former.linear_c.weight"),
        (rewrite(lambda t: t.update({"w_former.linear_c.bias": torch.ones(2)})), "w_former.linear_c.bias is [2]"),
        (rewrite(lambda t: t.update({"t5_proj": torch.ones(2)})), "1 unexpected: t5_proj"),
        (rewrite(lambda t: t.update({"pad_rows.llm_model.lm_head.weight": torch.ones(2)})), "[PAD] row"),
        (
            rewrite(
                lambda t: t.update(
                    {
                        "w_former.linear_h.weight": t["llm_proj.weight"].clone(),
                        "llm_proj.weight": t["w_former.linear_h.weight"].clone(),
                    }
                )
            ),
            "w_former.linear_h.weight is [20, 16] in the file and [16, 16] in the model",
        ),
    ],
)
def test_a_damaged_or_foreign_adapter_is_one_clear_error(trained, copy, damage, words):
    damage(copy)
    with pytest.raises(SamCheckpointError) as error:
        load_adapter(base_of(trained), copy)
    assert words in str(error.value)


@pytest.mark.parametrize("zero", [True, False])
def test_the_card_of_an_untrained_adapter_says_so(tmp_path, zero):
    save_adapter(tmp_path, small_model(zero=zero), model_type="tiny")
    assert ("These layers are untrained" in (tmp_path / "README.md").read_text("utf-8")) == zero
    assert ("is_trained" in json.loads((tmp_path / "config.json").read_text("utf-8"))) == zero
