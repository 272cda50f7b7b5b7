"""What is exported is loaded again, and nothing is written over."""

import pytest
import torch

from helpers.models import small_model
from lavis_sam.errors import SamConfigurationError
from lavis_sam.predictor.exporting import export_model
from lavis_sam.predictor.load_model import load_model


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
    if form != "instructblip":  # which never writes into a folder that is not empty
        export_model(model, out, form, source="tiny", overwrite=True)
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(before)
        assert {path: path.read_bytes() for path in before} != before


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
