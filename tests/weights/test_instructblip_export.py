"""Writing the base in transformers' layout: transformers reads it, we read it back, and nothing changes on the way."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import InstructBlipForConditionalGeneration, InstructBlipProcessor

from helpers.instructblip import folder_config, transformers_inputs, transformers_model, write_folder
from helpers.models import ANSWERS, SIZES, TEXTS, small_model
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.language.sequence import target_loss, training_inputs
from lavis_sam.models.w_former import sam_modules
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.instructblip_export import save_instructblip

# Two implementations of the same formulas in float32; the worst seen was 1.2e-6.
TOLERANCE = 1e-5
IMAGES = torch.randn(len(TEXTS), 3, 28, 28, generator=torch.Generator().manual_seed(0))


def build(config):
    model = build_model(config)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return save_instructblip(tmp_path_factory.mktemp("export") / "folder", model, part_bytes=40_000)


def target_logits(model):
    visual = model.encode({"image": IMAGES}, TEXTS)
    limits = {"max_txt_len": 10_000, "max_output_txt_len": 10_000}
    inputs = training_inputs(
        model.llm_model, model.llm_tokenizer, visual.tokens, visual.token_mask, TEXTS, ANSWERS, **limits
    )
    return target_loss(model.llm_model, inputs).logits, inputs.labels[:, 1:] != -100


def test_instructblip_export_read_back_is_equal_and_gives_the_same_logits(model, folder):
    again = build(folder_config(folder))
    own, found = model.state_dict(), again.state_dict()
    assert set(own) == set(found)
    for name in own:
        assert name.startswith(sam_modules()) or torch.equal(own[name], found[name]), name
    assert again.ln_vision.eps == model.ln_vision.eps == 1e-5
    assert torch.equal(target_logits(again)[0], target_logits(model)[0])


def test_instructblip_export_loaded_by_transformers_gives_our_logits(model, folder):
    theirs, report = InstructBlipForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    # transformers has one epsilon for the whole vision encoder; give it InstructBLIP's in the last norm.
    theirs.eval().vision_model.post_layernorm.eps = model.ln_vision.eps
    logits, predicts = target_logits(model)
    batch = transformers_inputs(theirs, model, IMAGES, TEXTS, ANSWERS)
    for key in ("input_ids", "attention_mask"):
        batch[key] = torch.nn.functional.pad(batch[key], (0, 1))
    with torch.no_grad():
        wanted = theirs(**batch).logits[:, :-1][predicts][:, : logits.shape[1]]
    torch.testing.assert_close(logits, wanted, atol=TOLERANCE, rtol=0)


def test_instructblip_folder_of_transformers_exported_again_has_equal_logits(tmp_path):
    theirs = transformers_model(extra_rows=1)
    first = build(folder_config(write_folder(theirs, tmp_path / "first")))
    save_instructblip(tmp_path / "second", first)
    again = InstructBlipForConditionalGeneration.from_pretrained(tmp_path / "second").eval()
    own, found = theirs.state_dict(), again.state_dict()
    for name in own:
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):  # the placeholder's row is nobody's
            assert torch.equal(own[name][:-1], found[name][:-1])
        elif name.endswith("qkv.bias"):  # the key's bias moves no softmax and is not kept
            query, _, value = own[name].chunk(3)
            assert torch.equal(found[name], torch.cat((query, torch.zeros_like(query), value)))
        else:
            assert torch.equal(own[name], found[name]), name
    assert again.config.vision_config.layer_norm_eps == 1e-6
    batch = transformers_inputs(theirs, first, IMAGES, TEXTS, ANSWERS)
    with torch.no_grad():
        wanted, logits = theirs(**batch).logits, again(**batch).logits
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(logits[real][:, :-1], wanted[real][:, :-1], atol=TOLERANCE, rtol=0)


def test_the_processor_of_the_folder_makes_our_inputs(model, folder):
    from PIL import Image

    from lavis_sam.datasets.images import image_tensor

    processor = InstructBlipProcessor.from_pretrained(folder)
    image = Image.radial_gradient("L").convert("RGB")
    for text in TEXTS:
        found = processor(text=text, images=image, return_tensors="pt")
        placeholders = [len(model.llm_tokenizer)] * SIZES.q_former.queries
        assert found["input_ids"][0].tolist() == placeholders + model.llm_tokenizer.encode(text)
        assert found["qformer_input_ids"][0].tolist() == model.tokenizer(text).input_ids
    # transformers 5 resizes with torchvision on tensors, 4.57 and we with Pillow: at most one grey level of 255 apart.
    difference = (found["pixel_values"][0] - image_tensor(image, SIZES.vision.image_size)).abs().max()
    assert difference < 1.01 / 255 / min(0.26862954, 0.26130258, 0.27577711)


def test_parts_are_small_and_listed(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    parts = sorted(folder.glob("*.safetensors"))
    assert sorted(set(index["weight_map"].values())) == [part.name for part in parts]
    assert len(parts) > 3
    assert sum(part.stat().st_size for part in parts) >= index["metadata"]["total_size"] > 100_000


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float64])
def test_sizes_are_those_of_the_type_that_is_written(tmp_path, dtype):
    folder = save_instructblip(tmp_path, small_model(), part_bytes=100_000, dtype=dtype)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    parts = [load_file(part) for part in sorted(folder.glob("*.safetensors"))]
    sizes = [sum(tensor.nbytes for tensor in part.values()) for part in parts]
    assert index["metadata"]["total_size"] == sum(sizes)
    assert all(size <= 100_000 for size, part in zip(sizes, parts, strict=True) if len(part) > 1)


def test_the_placeholder_is_never_written(folder):
    settings = json.loads((folder / "generation_config.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    assert settings["suppress_tokens"] == [config["image_token_index"]]
    assert config["text_config"]["vocab_size"] == config["image_token_index"] + 1


def test_a_base_with_other_libraries_parameters_is_refused(tmp_path):
    model = small_model()
    model.llm_model.lm_head.register_buffer("scales", torch.ones(2, dtype=torch.int8))
    with pytest.raises(SamConfigurationError, match=r"lm_head\.scales \(and 0 more\) is no parameter of a plain"):
        save_instructblip(tmp_path, model)
