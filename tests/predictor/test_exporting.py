"""What is exported is loaded again, and nothing is written over."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import InstructBlipForConditionalGeneration

from helpers.models import small_model
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.predictor.exporting import export_model
from lavis_sam.predictor.load_model import load_model
from lavis_sam.weights import instructblip_export
from lavis_sam.weights.instructblip_export import is_export, save_instructblip
from lavis_sam.weights.lora import add_lora


def assert_equal(found, wanted):
    own, other = found.state_dict(), wanted.state_dict()
    assert set(own) == set(other)
    for name in own:
        assert torch.equal(own[name], other[name]), name


def test_an_adapter_that_was_exported_is_loaded_by_its_folder(trained_tiny, tmp_path):
    written = export_model(trained_tiny, tmp_path / "adapter", "adapter", source="tiny")
    assert written["bytes"] == sum(path.stat().st_size for path in (tmp_path / "adapter").iterdir())
    assert_equal(load_model(tmp_path / "adapter", device="cpu"), trained_tiny)
    assert_equal(load_model("tiny", checkpoint=tmp_path / "adapter", device="cpu"), trained_tiny)


def test_the_authors_names_go_out_and_in(trained_tiny, tmp_path):
    export_model(trained_tiny, tmp_path / "sam.pth", "released", source="tiny")
    saved = torch.load(tmp_path / "sam.pth", weights_only=True)["model"]
    assert {"attn.weight", "Qformer.bert.encoder.one_2_muliple.0.weight", "llm_proj.weight"} <= set(saved)
    assert_equal(load_model("tiny", checkpoint=tmp_path / "sam.pth", device="cpu"), trained_tiny)


@pytest.mark.parametrize(("form", "name"), [("adapter", "adapter"), ("released", "sam.pth"), ("instructblip", "base")])
def test_an_export_replaces_an_earlier_one_only_when_asked(tmp_path, form, name):
    model, out = small_model(), tmp_path / name
    export_model(model, out, form, source="tiny")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with torch.no_grad():
        model.llm_proj.bias.add_(1)
    with pytest.raises(SamConfigurationError):
        export_model(model, out, form, source="tiny")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    export_model(model, out, form, source="tiny", overwrite=True)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(before)
    assert {path: path.read_bytes() for path in before} != before


def test_an_export_of_fewer_parts_leaves_none_of_the_earlier_and_what_others_put_there(tmp_path):
    model = small_model()
    save_instructblip(tmp_path / "base", model, part_bytes=40_000)
    (tmp_path / "base" / ".model-00001-of-00002.safetensors.1-ab.tmp").touch()
    (tmp_path / "base" / "notes.txt").write_text("mine")
    export_model(model, tmp_path / "base", "instructblip", source="tiny", overwrite=True)
    export_model(model, tmp_path / "fresh", "instructblip", source="tiny")
    fresh = {path.relative_to(tmp_path / "fresh") for path in (tmp_path / "fresh").rglob("*")}
    found = {path.relative_to(tmp_path / "base") for path in (tmp_path / "base").rglob("*")}
    assert found == fresh | {Path("notes.txt")}
    assert {path.name for path in fresh if path.suffix == ".safetensors"} == {"model.safetensors"}


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("failing", ["write_safetensors", "_write_llm_tokenizer", "configuration"])
def test_an_interrupted_export_is_no_base_and_can_be_repeated(tmp_path, monkeypatch, earlier, failing):
    model, out = small_model(), tmp_path / "base"
    if earlier:
        export_model(model, out, "instructblip", source="tiny")

    def interrupted(*given, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(instructblip_export, failing, interrupted)
        with pytest.raises(KeyboardInterrupt):
            export_model(model, out, "instructblip", source="tiny", overwrite=earlier)
    assert is_export(out)
    with pytest.raises(SamCheckpointError):
        load_model(out, device="cpu")
    with pytest.raises(SamConfigurationError, match="--overwrite"):
        export_model(model, out, "instructblip", source="tiny")
    export_model(model, out, "instructblip", source="tiny", overwrite=True)
    again = load_model(out, device="cpu", precision="fp32")
    assert torch.equal(again.llm_proj.weight, model.llm_proj.weight)


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("config", [None, "{}", "[1]", '{"model_type": "instructblip"}', '{"lavis_sam": '])
def test_a_folder_that_is_not_ours_is_never_overwritten(tmp_path, config):
    (tmp_path / "model.safetensors").write_bytes(b"theirs")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    before = files_of(tmp_path)
    with pytest.raises(SamConfigurationError, match="is a folder with other files in it"):
        export_model(small_model(), tmp_path, "instructblip", source="tiny", overwrite=True)
    assert files_of(tmp_path) == before


def test_a_folder_that_transformers_saved_of_ours_is_never_overwritten(tmp_path):
    export_model(small_model(), tmp_path / "ours", "instructblip", source="tiny")
    tuned = InstructBlipForConditionalGeneration.from_pretrained(tmp_path / "ours")
    tuned.save_pretrained(tmp_path / "theirs")
    with pytest.raises(SamConfigurationError, match="is a folder with other files in it"):
        export_model(small_model(), tmp_path / "theirs", "instructblip", source="tiny", overwrite=True)
    assert is_export(tmp_path / "ours")


@pytest.mark.parametrize("reason", ["injected", "tokenizer", "parameters"])
def test_a_refused_export_changes_neither_the_model_nor_the_place(tmp_path, reason):
    model = small_model()
    add_lora(model)
    model.injected = tuple(name for name, _ in model.named_parameters() if ".lora_" in name)
    export_model(copy.deepcopy(model), tmp_path / "base", "instructblip", source="tiny")
    if reason == "injected":
        model.other = torch.nn.Linear(2, 2)
        model.injected += ("other.weight", "other.bias")
    elif reason == "tokenizer":
        model.llm_tokenizer = object()
    else:
        model.llm_model.lm_head.register_buffer("scales", torch.ones(2, dtype=torch.int8))
    names, injected, before = set(model.state_dict()), model.injected, files_of(tmp_path)
    with pytest.raises(SamConfigurationError):
        export_model(model, tmp_path / "base", "instructblip", source="tiny", overwrite=True)
    assert (set(model.state_dict()), model.injected, files_of(tmp_path)) == (names, injected, before)


def test_the_base_goes_out_in_transformers_layout_and_in(trained_tiny, tmp_path):
    export_model(trained_tiny, tmp_path / "base", "instructblip", source="tiny")
    again = load_model(tmp_path / "base", device="cpu", precision="fp32")
    assert torch.equal(again.llm_model.lm_head.weight, trained_tiny.llm_model.lm_head.weight)
    assert torch.equal(again.llm_proj.weight, trained_tiny.llm_proj.weight)
    assert again.guidance.layer_k == 4, "interaction layers stay inside a shallow Q-Former"


@pytest.mark.parametrize(
    ("form", "prepare", "words"),
    [
        ("onnx", lambda p: None, "format is 'onnx'; choose one of adapter, released, instructblip"),
        ("released", lambda p: p.mkdir(), "is a folder; the format released writes a .pth file"),
        ("adapter", lambda p: p.write_text("x"), "is a file; the format adapter writes a folder"),
        ("adapter", lambda p: (p.mkdir(), (p / "README.md").write_text("mine")), "is a folder with other files in it"),
        ("instructblip", lambda p: (p.mkdir(), (p / "x").touch()), "is a folder with other files in it"),
    ],
)
def test_an_export_never_writes_over_something_else(tmp_path, form, prepare, words):
    prepare(tmp_path / "out")
    with pytest.raises(SamConfigurationError) as error:
        export_model(small_model(), tmp_path / "out", form, source="tiny")
    assert words in str(error.value)
