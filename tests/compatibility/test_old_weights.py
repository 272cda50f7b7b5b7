"""Trained layers that version 0.1.0 wrote, in each of their forms: they load, and answer as they did."""

import json

import pytest
import torch
from lavis.models import load_model_and_preprocess
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

from lavis_sam import SamPredictor, evaluate

CHECKPOINT = "run_finished/checkpoint_2.pth"
ADAPTER = "adapter/sam_adapter.safetensors"


def load(source):
    """The predictor over one of the files: an adapter names its base itself, a file is put over the tiny model."""
    if source == "adapter":
        return SamPredictor.from_pretrained(source, device="cpu")
    # A run's checkpoint says that its base was random; the authors' format cannot.
    settings = {"pretrained": ""} if source == "released.pth" else {}
    return SamPredictor.from_pretrained("tiny", checkpoint=source, device="cpu", settings=settings)


@pytest.mark.parametrize("source", ["adapter", "released.pth", CHECKPOINT])
def test_the_predictor_answers_as_it_did(bring, expected, source):
    bring(source, "images")
    predictor = load(source)
    assert predictor.is_trained
    cases = expected("captions.json")
    assert len(cases) == 2
    for case in cases:
        images = [f"images/{name}" for name in case["images"]]
        settings = {name: case[name] for name in ("num_beams", "max_length")}
        assert predictor.caption(images, case["prompt"], **settings) == case["answer"]


@pytest.mark.parametrize(
    "source", ["adapter", *(pytest.param(name, marks=pytest.mark.integration) for name in ("released.pth", CHECKPOINT))]
)
def test_the_loss_over_two_photographs_is_what_it_was(bring, expected, events, source):
    root = bring(source, "evaluate.yaml", "two_photographs.json")
    options = ["datasets.mmlink.build_info.annotations.test.storage=two_photographs.json", "run.job_id=losses"]
    if source == "released.pth":
        options.append("model.pretrained=")
    words = ["--cfg-path", "evaluate.yaml", "--ckpt", source, "--options", "run.decoding.max_length=4", *options]
    assert evaluate.main(words) == 0
    (event,) = events(root / "losses", "evaluation")
    wanted = expected("loss.json")
    assert event["samples"] == wanted["samples"]
    assert event["loss"] == pytest.approx(wanted["loss"], rel=1e-5)


def test_the_parameters_have_the_names_of_lavis_model(bring, expected):
    """A checkpoint goes into LAVIS's model over its base, by `load_state_dict` alone, and answers as it did."""
    bring(CHECKPOINT, "images")
    model, processors, _ = load_model_and_preprocess("blip2_vicuna_sam", model_type="tiny", is_eval=True, device="cpu")
    packaged = OmegaConf.load(model.default_config_path("tiny")).model
    model = type(model).from_config(OmegaConf.merge(packaged, {"pretrained": "", "load_finetuned": False})).eval()
    missing, unexpected = model.load_state_dict(torch.load(CHECKPOINT, weights_only=True)["model"], strict=False)
    assert not unexpected
    assert not {name for name, parameter in model.named_parameters() if parameter.requires_grad} & set(missing)
    case = expected("captions.json")[0]
    images = [Image.open(f"images/{name}").convert("RGB") for name in case["images"]]
    batch = torch.stack([processors["eval"](image) for image in images], dim=1)[None]
    settings = {name: case[name] for name in ("num_beams", "max_length")}
    assert model.generate({"image": batch, "prompt": case["prompt"]}, **settings) == [case["answer"]]


@pytest.mark.parametrize("source", [CHECKPOINT, "adapter", "released.pth"])
def test_each_form_is_exported_to_the_same_adapter(bring, run, source):
    """What is written today holds the tensors that were written then, and says the same about them."""
    root = bring(*{"adapter", source})
    code, _, error = run("export", "mine", "--model", "tiny", "--checkpoint", source)
    assert code == 0, error
    found, wanted = load_file(root / "mine" / "sam_adapter.safetensors"), load_file(ADAPTER)
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        # The authors' format has no [PAD] rows, so these are of the base that it was put over.
        if source != "released.pth" or not name.startswith("pad_rows."):
            assert torch.equal(found[name], tensor), name
    found, wanted = (json.loads((root / name / "config.json").read_text("utf-8")) for name in ("mine", "adapter"))
    for content in (found, wanted):
        assert content.pop("versions")
        content.pop("base")  # numbers of the random base, which another processor may round otherwise
    assert found == wanted


def test_an_adapter_is_exported_under_the_names_of_the_authors(bring, run):
    bring("adapter", "released.pth")
    words = ["export", "mine.pth", "--format", "released", "--model", "tiny", "--checkpoint", "adapter"]
    code, _, error = run(*words)
    assert code == 0, error
    found, wanted = (torch.load(name, weights_only=True)["model"] for name in ("mine.pth", "released.pth"))
    assert set(found) == set(wanted)
    assert len(wanted) > 4
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name
