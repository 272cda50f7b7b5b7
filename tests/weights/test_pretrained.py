from dataclasses import replace

import pytest
import torch

from helpers.models import SIZES, small_model
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.build_model import build_vision
from lavis_sam.weights.pretrained import load_eva_vit, load_instructblip, resize_position_embedding

EXTRAS = ("head.weight", "head.bias", "norm.weight", "norm.bias", "fc_norm.weight", "mask_token")


def eva_state(depth: int = SIZES.vision.depth + 1, image_size: int = 28) -> dict[str, torch.Tensor]:
    """A file as EVA released it: half precision, a block more than is used, a classifier."""
    torch.manual_seed(3)
    encoder = build_vision(replace(SIZES.vision, depth=depth, image_size=image_size))
    state = {name: torch.randn_like(tensor).half() for name, tensor in encoder.state_dict().items()}
    return state | {name: torch.randn(4).half() for name in EXTRAS}


def test_eva_fills_the_vision_encoder_and_the_rest_is_passed_over(tmp_path):
    state = eva_state()
    torch.save(state, tmp_path / "eva.pth")
    encoder = build_vision(SIZES.vision)
    report = load_eva_vit(encoder, tmp_path / "eva.pth")
    for name, tensor in encoder.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, state[name].float())
    assert report.loaded == set(encoder.state_dict())
    last = f"blocks.{SIZES.vision.depth}."
    assert set(report.ignored) == {name for name in state if name in EXTRAS or name.startswith(last)}


def test_eva_fills_an_encoder_on_the_meta_device(tmp_path):
    state = eva_state(image_size=56)
    torch.save(state, tmp_path / "eva.pth")
    with torch.device("meta"):
        encoder = build_vision(SIZES.vision)
    load_eva_vit(encoder, tmp_path / "eva.pth")
    assert all(parameter.device.type == "cpu" for parameter in encoder.parameters())
    assert encoder.pos_embed.shape == (1, 5, SIZES.vision.width)
    assert encoder(torch.zeros(1, 3, 28, 28)).isfinite().all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update(eva_state(depth=SIZES.vision.depth + 2)), "unexpected: blocks.3."),
        (lambda s: s.pop("blocks.1.attn.q_bias"), "1 missing: blocks.1.attn.q_bias"),
        (
            lambda s: s.update({"blocks.0.mlp.fc1.weight": s["blocks.0.mlp.fc2.weight"]}),
            "blocks.0.mlp.fc1.weight is [24, 48]",
        ),
        (lambda s: s.update({"rel_pos_bias.table": torch.ones(1)}), "1 unexpected: rel_pos_bias.table"),
        (
            lambda s: s.update(pos_embed=torch.ones(1, 8, 24)),
            "pos_embed is [1, 8, 24] in the file and must serve 5 positions",
        ),
        (lambda s: s.update(pos_embed=torch.ones(1, 10, 32)), "pos_embed is [1, 5, 32] in the file"),
    ],
)
def test_a_file_of_another_vit_is_refused(tmp_path, change, words):
    state = eva_state()
    change(state)
    torch.save(state, tmp_path / "eva.pth")
    with pytest.raises(SamCheckpointError) as error:
        load_eva_vit(build_vision(SIZES.vision), tmp_path / "eva.pth")
    assert words in str(error.value)
    assert "eva.pth" in str(error.value)


@pytest.mark.parametrize(("old", "new"), [(16, 37), (16, 8), (3, 5)])
def test_position_embeddings_are_resized_as_lavis_does(old, new):
    from lavis.models.eva_vit import interpolate_pos_embed

    torch.manual_seed(0)
    embedding = torch.randn(1, 1 + old * old, 6)
    resized = resize_position_embedding(embedding.half(), 1 + new * new, place="x")
    holder = torch.nn.Module()
    holder.patch_embed = torch.nn.Module()
    holder.patch_embed.num_patches = new * new
    holder.pos_embed = torch.zeros(1, 1 + new * new, 6)
    state = {"pos_embed": embedding.half()}
    interpolate_pos_embed(holder, state)
    assert resized.dtype == torch.float32
    assert torch.equal(resized, state["pos_embed"])


def instructblip_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A file in the layout of LAVIS's trimmed checkpoint."""
    torch.manual_seed(4)
    parts = ("Qformer.", "query_tokens", "llm_proj.", "ln_vision.")
    state = {name: torch.randn_like(tensor) for name, tensor in model.state_dict().items() if name.startswith(parts)}
    state["Qformer.bert.embeddings.position_ids"] = torch.arange(64)[None]
    state["Qformer.cls.predictions.bias"] = torch.randn(9)
    state["Qformer.cls.predictions.transform.dense.weight"] = torch.randn(3, 3)
    return state


def test_instructblip_fills_its_parts(tmp_path):
    model = small_model()
    state = instructblip_state(model)
    torch.save({"model": state}, tmp_path / "instructblip.pth")
    untouched = {name: t.clone() for name, t in model.state_dict().items() if name not in state}
    report = load_instructblip(model, tmp_path / "instructblip.pth")
    own = model.state_dict()
    assert report.loaded == {name for name in state if name in own}
    assert all(torch.equal(own[name], state[name]) for name in report.loaded)
    assert all(torch.equal(own[name], tensor) for name, tensor in untouched.items())
    # Both feed-forward branches: the queries' and the text's.
    assert {
        "Qformer.bert.encoder.layer.0.output.dense.weight",
        "Qformer.bert.encoder.layer.0.output_query.dense.weight",
    } <= (report.loaded)


def test_instructblip_fills_modules_on_the_meta_device(tmp_path):
    model = small_model()
    torch.save({"model": instructblip_state(model)}, tmp_path / "instructblip.pth")
    for part in (model.Qformer, model.ln_vision, model.llm_proj):
        part.to("meta")
    model.query_tokens = torch.nn.Parameter(model.query_tokens.to("meta"), requires_grad=False)
    load_instructblip(model, tmp_path / "instructblip.pth")
    assert not any(parameter.is_meta for parameter in model.parameters())
    assert [name for name, p in model.named_parameters() if p.requires_grad and "Qformer" in name] == []
    assert model.llm_proj.weight.requires_grad


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("query_tokens"), "1 missing: query_tokens"),
        (lambda s: [s.pop(n) for n in list(s) if n.startswith("llm_proj")], "2 missing: llm_proj"),
        (
            lambda s: [s.pop(n) for n in list(s) if ".intermediate.dense" in n],
            "missing: Qformer.bert.encoder.layer.0.inter",
        ),
        (lambda s: s.update(t5_proj=torch.ones(1)), "1 unexpected: t5_proj"),
        (lambda s: s.update({"attn.weight": torch.ones(1, 24)}), "1 unexpected: attn.weight"),
        (
            lambda s: s.update(query_tokens=torch.ones(1, 32, 16)),
            "query_tokens is [1, 32, 16] in the file and [1, 3, 16]",
        ),
    ],
)
def test_another_models_file_is_refused(tmp_path, change, words):
    model = small_model()
    state = instructblip_state(model)
    change(state)
    torch.save({"model": state}, tmp_path / "base.pth")
    with pytest.raises(SamCheckpointError) as error:
        load_instructblip(model, tmp_path / "base.pth")
    assert words in str(error.value)
    assert "base.pth (InstructBLIP weights) does not fit" in str(error.value)
