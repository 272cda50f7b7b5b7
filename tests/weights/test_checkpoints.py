from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from helpers.models import small_model
from lavis_sam.errors import SamCheckpointError
from lavis_sam.files import write_safetensors
from lavis_sam.weights.checkpoint_files import read_checkpoint
from lavis_sam.weights.checkpoints import (
    LoadReport,
    load_checked,
    matches,
    require_complete,
    save_checkpoint,
    to_released,
    trainable_state_dict,
    translate_released,
)

RELEASED = {
    "attn.weight": "adaptive_adjustment.linear_a.weight",
    "attn.bias": "adaptive_adjustment.linear_a.bias",
    "Qformer.bert.encoder.one_2_muliple.0.weight": "w_former.linear_h.weight",
    "Qformer.bert.encoder.one_2_muliple.0.bias": "w_former.linear_h.bias",
    "Qformer.bert.encoder.multiple_2_one.0.weight": "w_former.linear_c.weight",
    "Qformer.bert.encoder.multiple_2_one.0.bias": "w_former.linear_c.bias",
}
TRAINED = [*RELEASED.values(), "llm_proj.weight", "llm_proj.bias"]


def fake(width: int = 2) -> nn.Module:
    return nn.ModuleDict({"proj": nn.Linear(width, 3), "norm": nn.LayerNorm(3)})


def state_of(model: nn.Module, value: float = 5.0) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(tensor, value) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("proj.weight", "proj", True),
        ("proj.weight", "proj.", True),
        ("proj.weight", "proj.weight", True),
        ("projection.weight", "proj", False),
        ("a.b.position_ids", "*position_ids", True),
        ("blocks.39.x", "blocks.3", False),
    ],
)
def test_patterns(name, pattern, expected):
    assert matches(name, ["other", pattern]) is expected


def test_weights_are_copied_in_the_models_own_type():
    model = fake().half()
    parameter = model["proj"].weight
    report = load_checked(model, state_of(fake()), provides=["*"], source="file")
    assert model["proj"].weight is parameter
    assert parameter.dtype == torch.float16
    assert all((tensor == 5).all() for tensor in model.state_dict().values())
    assert report.loaded == set(model.state_dict())
    assert report.ignored == ()
    assert report.under("part").loaded == {f"part.{name}" for name in model.state_dict()}


def test_parameters_on_the_meta_device_get_the_tensors_themselves():
    with torch.device("meta"):
        model = fake()
    model["norm"].requires_grad_(False)
    state = state_of(fake().to("cpu"))
    load_checked(model, state, provides=["*"], source="file")
    assert model["proj"].weight.data_ptr() == state["proj.weight"].data_ptr()
    assert model["proj"].weight.requires_grad
    assert not model["norm"].weight.requires_grad
    assert model["proj"](torch.ones(1, 2)).tolist() == [[15, 15, 15]]


@pytest.mark.parametrize("archive", ["a.pth", "a.safetensors"])
def test_a_read_file_fills_a_model(tmp_path, archive):
    write = write_safetensors if archive == "a.safetensors" else lambda path, state: torch.save(state, path)
    write(tmp_path / archive, state_of(fake()))
    model = fake()
    load_checked(model, read_checkpoint(tmp_path / archive), provides=["*"], source=archive)
    assert all((tensor == 5).all() for tensor in model.state_dict().values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("proj.bias"), "1 missing: proj.bias"),
        (lambda s: s.update(extra=torch.ones(1)), "1 unexpected: extra"),
        (
            lambda s: s.update({"proj.weight": s["proj.weight"].T}),
            r"proj.weight is [2, 3] in the file and [3, 2] in the",
        ),
        (
            lambda s: s.update({"norm.bias": s["norm.bias"].long()}),
            "norm.bias is torch.int64 in the file and torch.float32",
        ),
        (lambda s: s.clear(), "4 missing: proj.weight, proj.bias, norm.weight, norm.bias"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change, words):
    model, state = fake(), state_of(fake())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    change(state)
    with pytest.raises(SamCheckpointError) as error:
        load_checked(model, state, provides=["*"], source="my.pth (weights)")
    assert words in str(error.value)
    assert str(error.value).startswith("my.pth (weights) does not fit this model; nothing was loaded:")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_all_problems_are_listed_at_once_and_long_lists_are_cut():
    state = state_of(fake()) | {f"extra.{i}": torch.ones(1) for i in range(20)}
    del state["proj.bias"]
    state["norm.bias"] = torch.ones(7)
    with pytest.raises(SamCheckpointError) as error:
        load_checked(fake(), state, provides=["*"], source="x")
    assert "1 missing" in str(error.value)
    assert "20 unexpected: extra.0, extra.1" in str(error.value)
    assert "and 12 more" in str(error.value)
    assert "norm.bias is [7] in the file and [3] in the model" in str(error.value)


def test_what_a_source_must_may_and_must_not_hold():
    model, state = fake(), state_of(fake())
    assert load_checked(
        model, {k: v for k, v in state.items() if "proj" in k}, provides=["proj"], source="x"
    ).loaded == {
        "proj.weight",
        "proj.bias",
    }
    load_checked(model, state, provides=["proj"], optional=["norm"], source="x")
    # A part that this source is not there to give is unexpected although the model has it.
    with pytest.raises(SamCheckpointError, match="2 unexpected: norm"):
        load_checked(model, state, provides=["proj"], source="x")
    report = load_checked(model, state, provides=["proj"], ignore=["norm"], source="x")
    assert report.ignored == ("norm.weight", "norm.bias")


def test_buffers_that_newer_libraries_compute_are_tolerated():
    extra = {"bert.embeddings.position_ids": torch.arange(3), "layers.0.rotary_emb.inv_freq": torch.ones(2)}
    report = load_checked(fake(), state_of(fake()) | extra, provides=["*"], source="x")
    assert set(report.ignored) == set(extra)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (-1, "without [DEC], so it is no InstructBLIP checkpoint"),
        (+1, "the tokenizer here lacks [DEC]"),
        (+7, "belong to different models"),
    ],
)
def test_the_vocabulary_guard_has_its_own_sentence(rows, words):
    model = small_model()
    name = "Qformer.bert.embeddings.word_embeddings.weight"
    own = model.state_dict()[name]
    with pytest.raises(SamCheckpointError) as error:
        load_checked(
            model, {**model.state_dict(), name: torch.ones(len(own) + rows, own.shape[1])}, provides=["*"], source="x"
        )
    assert f"has {len(own) + rows} words in the file and {len(own)} in the model" in str(error.value)
    assert "30523" in str(error.value)
    assert words in str(error.value)


def test_parameters_that_no_source_gave_are_named():
    model = fake()
    half = LoadReport("vit.pth", frozenset({"proj.weight", "proj.bias"}), ())
    with pytest.raises(SamCheckpointError, match=r"2 parameters .* \(vit\.pth\): norm\.weight, norm\.bias"):
        require_complete(model, [half])
    require_complete(model, [half], initialised=["norm"])
    require_complete(model, [half, LoadReport("b", frozenset({"norm.weight", "norm.bias"}), ())])
    with pytest.raises(SamCheckpointError, match="no source at all"):
        require_complete(model, [])


def test_released_names_are_translated_and_back():
    state = {
        name: torch.tensor(float(i))
        for i, name in enumerate([*RELEASED, "llm_proj.weight", "visual_encoder.blocks.0.attn.proj.weight"])
    }
    ours = translate_released(state)
    assert list(ours) == [*RELEASED.values(), "llm_proj.weight", "visual_encoder.blocks.0.attn.proj.weight"]
    assert [float(tensor) for tensor in ours.values()] == [float(tensor) for tensor in state.values()]
    assert translate_released(ours) == ours
    assert to_released(ours) == state
    assert to_released(state) == state


def test_only_the_layers_that_are_there_are_translated():
    assert list(translate_released({"attn.weight": torch.ones(1)})) == ["adaptive_adjustment.linear_a.weight"]


def test_a_layer_under_both_names_is_an_error():
    twice = {"attn.weight": torch.ones(1), "adaptive_adjustment.linear_a.weight": torch.ones(1)}
    for rename in (translate_released, to_released):
        with pytest.raises(SamCheckpointError, match="twice"):
            rename(twice)


def test_a_layer_that_the_authors_do_not_have_cannot_be_given_their_names():
    with pytest.raises(
        SamCheckpointError, match=r"linear_extractor\.linear_c\.weight: the authors' code has no such layer"
    ):
        to_released({"linear_extractor.linear_c.weight": torch.ones(1)})


def test_only_what_is_trained_is_saved():
    model = small_model()
    state = trainable_state_dict(model)
    assert sorted(state) == sorted(TRAINED)
    with torch.no_grad():
        model.llm_proj.weight.add_(1)
    assert not torch.equal(state["llm_proj.weight"], model.llm_proj.weight)  # a copy, not a view


@pytest.mark.parametrize(
    "obj",
    [
        {"config": OmegaConf.create({"a": 1})},
        {"rng": np.arange(3)},
        {"folder": Path("x")},
        {"model": nn.Linear(1, 1)},
    ],
)
def test_a_checkpoint_that_could_not_be_loaded_again_is_not_saved(tmp_path, obj):
    path = tmp_path / "last.pth"
    path.write_text("old")
    with pytest.raises(SamCheckpointError, match=r"last\.pth: this checkpoint could not be loaded again"):
        save_checkpoint(path, obj)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pth"]
