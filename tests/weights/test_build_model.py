"""The builder: the released files in their real layout become a model, and what does not fit is named."""

import pytest
import torch
from omegaconf import OmegaConf

from helpers.instructblip import folder_config, transformers_model, write_folder
from helpers.models import SIZES, random_batch, small_model
from helpers.weights import config_for, write_release
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.plugin.model import Blip2VicunaSAM
from lavis_sam.weights.build_model import build_encoder, build_model
from lavis_sam.weights.checkpoints import to_released, trainable_state_dict
from lavis_sam.weights.packaged import MODEL_CONFIGS

# Two models with equal weights, run one after the other: only the order of memory differs.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def source():
    return small_model()


@pytest.fixture(scope="module")
def files(source, tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("release"), source)


def tokens(model, batch):
    with torch.no_grad():
        return model.eval().encode(batch, batch["text_input"]).tokens


def test_the_released_files_become_instructblip(source, files):
    model = Blip2VicunaSAM.from_config(config_for(source, SIZES, files))
    assert not any(parameter.is_meta for parameter in model.parameters())
    flat = {**random_batch([1, 1]), "image": torch.randn(2, 3, 28, 28), "image_mask": None}
    torch.testing.assert_close(tokens(model, flat), tokens(source, flat), atol=TOLERANCE, rtol=0)
    batch = random_batch([2, 3])
    plain = Blip2VicunaSAM.from_config(config_for(source, SIZES, files, guidance={"extractor": "none"}))
    assert torch.equal(tokens(model, batch), tokens(plain, batch)), "training starts from InstructBLIP exactly"
    rows = model.llm_model.lm_head.weight
    assert torch.equal(rows[:-1], source.llm_model.lm_head.weight[:-1])


@pytest.mark.parametrize("with_projection", [True, False])
def test_the_authors_layers_load_over_them(source, files, tmp_path, with_projection):
    trained = to_released(trainable_state_dict(source))
    if not with_projection:
        trained = {name: tensor for name, tensor in trained.items() if not name.startswith("llm_proj")}
    torch.save({"model": trained}, tmp_path / "sam.pth")
    model = Blip2VicunaSAM.from_config(config_for(source, SIZES, files, finetuned=str(tmp_path / "sam.pth")))
    batch = random_batch([2, 3])
    torch.testing.assert_close(tokens(model, batch), tokens(source, batch), atol=TOLERANCE, rtol=0)


def test_two_builds_agree_on_the_pad_row(source, files):
    config = config_for(source, SIZES, files)
    one, other = (Blip2VicunaSAM.from_config(config).llm_model for _ in range(2))
    assert torch.equal(one.lm_head.weight, other.lm_head.weight)
    assert torch.equal(one.get_input_embeddings().weight, other.get_input_embeddings().weight)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_frozen_matrices_take_the_precision_and_trainable_layers_stay_fp32(source, files, precision, dtype):
    model = Blip2VicunaSAM.from_config(config_for(source, SIZES, files, precision=precision)).train()
    assert model.visual_encoder.blocks[0].mlp.fc1.weight.dtype is dtype
    assert model.llm_model.lm_head.weight.dtype is dtype
    assert all(p.dtype is torch.float32 for p in model.parameters() if p.requires_grad)
    batch = random_batch([2, 3])
    result = model(batch)
    result["loss"].backward()
    assert model.llm_proj.weight.grad.isfinite().all()
    exact = Blip2VicunaSAM.from_config(config_for(source, SIZES, files))(batch)["loss"]
    assert abs(result["loss"] - exact) / exact < 0.05


def test_gradient_checkpointing_changes_no_gradient(source, files):
    gradients = []
    for checkpointing in (False, True):
        config = config_for(source, SIZES, files, gradient_checkpointing=checkpointing)
        model = Blip2VicunaSAM.from_config(config).train()
        calls = []
        model.llm_model.model.layers[0].mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        model(random_batch([2, 3]))["loss"].backward()
        assert len(calls) == (2 if checkpointing else 1), "a recomputed layer runs twice"
        gradients.append(model.llm_proj.weight.grad)
    torch.testing.assert_close(*gradients)


def test_every_missing_file_is_listed_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("INSTRUCTBLIP", "EVA_VIT", "VICUNA", "BERT", "CHECKPOINT"):
        monkeypatch.delenv(f"LAVIS_SAM_{name}", raising=False)
    with pytest.raises(SamCheckpointError) as caught:
        Blip2VicunaSAM.from_pretrained()
    message = str(caught.value)
    for key, variable in (
        ("model.pretrained", "LAVIS_SAM_INSTRUCTBLIP"),
        ("model.vit_checkpoint", "LAVIS_SAM_EVA_VIT"),
        ("model.llm_model", "LAVIS_SAM_VICUNA"),
        ("model.bert_tokenizer", "LAVIS_SAM_BERT"),
    ):
        assert key in message
        assert variable in message
    assert 'model_type="tiny" works offline' in message


def test_paths_may_come_from_the_environment(files, monkeypatch):
    monkeypatch.setenv("LAVIS_SAM_INSTRUCTBLIP", files["pretrained"])
    assert OmegaConf.load(MODEL_CONFIGS["vicuna7b"]).model.pretrained == files["pretrained"]


def test_a_language_model_of_another_size_is_refused(source, files):
    config = config_for(source, SIZES, files)
    config.sizes.language.layers = 2
    with pytest.raises(
        SamConfigurationError, match=r"has layers 1, the config says model\.sizes\.language\.layers = 2"
    ):
        Blip2VicunaSAM.from_config(config)


def test_another_vocabulary_is_refused(source, files):
    config = config_for(source, SIZES, files)
    config.sizes.q_former.vocabulary += 1
    with pytest.raises(SamCheckpointError, match=r"1500 tokens with \[DEC\], but the Q-Former has 1501 rows"):
        Blip2VicunaSAM.from_config(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "fp8"}, r"model\.precision is 'fp8'; choose one of fp32, bf16, fp16"),
        ({"sizes": {"vision": {"with": 3}}}, r"model\.sizes\.vision: unknown key 'with'\. Did you mean 'width'\?"),
        ({"sizes": {"vison": {}}}, r"model\.sizes: unknown key 'vison'\. Did you mean 'vision'\?"),
        ({"sizes": {"q_former": {"layers": 0}}}, r"model\.sizes\.q_former\.layers: found 0, wanted more than 0"),
        ({"packing": "yes"}, r"model\.packing is 'yes'; wanted true or false"),
        ({"packing": True, "trainable": "vpg_c"}, r"model\.packing is true beside VPG-C .*Set model\.packing=false"),
        ({"packing": True, "inject": {"vpg_c": {"layer": 2}}}, r"model\.packing is true beside VPG-C"),
        ({"guidance": {"layer_l": 4, "layer_k": 3}}, r"layer_l = 4, layer_k = 3 with K = 4"),
    ],
)
def test_impossible_settings_are_named_before_any_file_is_read(change, message):
    config = OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, change)
    with pytest.raises(SamConfigurationError, match=message):
        Blip2VicunaSAM.from_config(config)


def test_an_unknown_model_type_lists_the_known_ones():
    with pytest.raises(
        SamConfigurationError, match="'vicuna9b' of blip2_vicuna_sam is unknown; choose one of vicuna7b"
    ):
        Blip2VicunaSAM.default_config_path("vicuna9b")


def test_the_embedded_model_is_the_same_every_time():
    torch.manual_seed(1)
    one = Blip2VicunaSAM.from_pretrained("tiny").state_dict()
    torch.manual_seed(2)
    other = Blip2VicunaSAM.from_pretrained("tiny").state_dict()
    trained = [name for name in one if name.startswith("adaptive_adjustment")]
    assert all(torch.equal(one[name], other[name]) for name in one if name not in trained)


def test_packaged_sizes_are_the_papers():
    config = OmegaConf.load(MODEL_CONFIGS["vicuna7b"]).model
    assert ModelSizes.from_mapping(config.sizes) == ModelSizes()


def test_an_encoder_alone_has_the_weights_of_the_whole_model(source, files, tmp_path):
    lavis = config_for(source, SIZES, files)
    folder = folder_config(write_folder(transformers_model(), tmp_path / "folder"))
    for cfg in (lavis, folder):
        whole, encoder = build_model(cfg), build_encoder(cfg)
        wanted = dict(whole.named_parameters())
        found = {n: p for n, p in encoder.named_parameters() if n.startswith(("visual_encoder.", "ln_vision."))}
        assert len(found) > 20
        assert all(torch.equal(parameter, wanted[name]) for name, parameter in found.items())
        assert all(parameter.is_meta for parameter in encoder.llm_model.parameters())
    lavis.llm_model = "/not/there"
    build_encoder(lavis)
    lavis.vit_checkpoint = "/not/there"
    with pytest.raises(SamCheckpointError, match="/not/there"):
        build_encoder(lavis)
