"""Other language models by a YAML alone: train, stop, continue, generate, export an adapter and load it again."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from helpers.toy_llm import llama3_like, qwen2_like
from lavis_sam import SamPredictor
from lavis_sam.predictor.exporting import export_model
from lavis_sam.weights.packaged import PACKAGE

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
IMAGES = [str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose")]
QUESTION = "What do both images show?"
GREEDY = {"num_beams": 1, "max_length": 12}
FAMILIES = {"llama3": llama3_like, "qwen2": qwen2_like}


@pytest.fixture(params=FAMILIES)
def family(request, tmp_path):
    """A language model's folder in transformers' layout."""
    llm_model, tokenizer = FAMILIES[request.param]()
    llm_model.save_pretrained(tmp_path / "llm")
    tokenizer.save_pretrained(tmp_path / "llm")
    return tmp_path / "llm"


def write_config(folder, llm_model, job, **run):
    """The packaged example with another language model; nothing but a YAML."""
    config = OmegaConf.to_container(OmegaConf.load(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml"))
    config["model"] |= {"llm_model": str(llm_model), "max_txt_len": 64, "max_output_txt_len": 64}
    config["run"] |= {"output_dir": str(folder / "output"), "job_id": job, "max_epoch": 2, "keep_checkpoints": 2, **run}
    config["run"]["decoding"] = {"num_beams": 1, "max_length": 8}
    path = folder / f"{job}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def train(path, monkeypatch, *options):
    from lavis_sam.train import main

    words = ["--options", *options] if options else []
    monkeypatch.setattr(sys, "argv", ["lavis.train", "--cfg-path", str(path), *words])
    main()


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def test_a_yaml_alone_trains_continues_generates_and_exports(family, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    train(write_config(tmp_path, family, "whole"), monkeypatch)
    whole = tmp_path / "output" / "whole"
    # The same run, continued from its first epoch as if it had been stopped there.
    resumed = tmp_path / "output" / "resumed"
    resumed.mkdir()
    shutil.copy(whole / "checkpoint_0.pth", resumed)
    train(write_config(tmp_path, family, "resumed"), monkeypatch, "run.resume=auto")
    found, wanted = weights(resumed / "checkpoint_1.pth"), weights(whole / "checkpoint_1.pth")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert any(tensor.any() for name, tensor in wanted.items() if name.startswith("w_former"))
    assert (whole / "result" / "test" / "mmlink" / "pred.json").is_file()

    checkpoint, llm_model = str(whole / "checkpoint_1.pth"), {"llm_model": str(family)}
    predictor = SamPredictor.from_pretrained(checkpoint, device="cpu", settings=llm_model)
    answer = predictor.caption(IMAGES, QUESTION, **GREEDY)
    export_model(predictor.model, tmp_path / "adapter", "adapter", source=checkpoint)
    again = SamPredictor.from_pretrained(tmp_path / "adapter", device="cpu", settings=llm_model)
    assert again.caption(IMAGES, QUESTION, **GREEDY) == answer
    options = ("--num-beams", "1", "--max-length", "12", "--device", "cpu", "--llm-model", family)
    code, out, err = run("caption", *IMAGES, "-p", QUESTION, "--model", tmp_path / "adapter", *options)
    assert code == 0, err
    assert out.strip() == answer.strip()


def test_an_adapter_is_refused_over_another_language_model(family, tmp_path, run):
    predictor = SamPredictor.from_pretrained("tiny", device="cpu", settings={"llm_model": str(family)})
    export_model(predictor.model, tmp_path / "adapter", "adapter", source="tiny")
    code, _, err = run("caption", *IMAGES, "--model", tmp_path / "adapter", "--device", "cpu")
    assert code == 2
    assert "trained over another base; different are language model" in err
