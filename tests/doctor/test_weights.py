"""Weights and tokenizers on healthy disks and on broken ones, each with the verdict that the doctor must give."""

import json
import shutil

import pytest
import torch

from helpers.findings import FAILURE, NOTE, OK, WARNING, assert_helpful, only, verdicts
from helpers.instructblip import folder_config
from helpers.models import SIZES
from helpers.weights import TOKENIZERS, config_for
from lavis_sam.doctor import weights
from lavis_sam.predictor.load_model import model_config
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import to_released, trainable_state_dict


def test_healthy_weights_in_lavis_layout(source, files, tmp_path):
    torch.save({"model": to_released(trainable_state_dict(source))}, tmp_path / "sam.pth")
    found = list(weights.check_weights(config_for(source, SIZES, files, finetuned=str(tmp_path / "sam.pth"))))
    assert verdicts(found) == {
        "EVA ViT": OK,
        "InstructBLIP": OK,
        "Vicuna version": WARNING,  # no real Vicuna is 20 wide
        "language model": OK,
        "LLM tokenizer": WARNING,  # nor has Llama's tokenizer 1500 pieces
        "Q-Former tokenizer": WARNING,
        "trained layers": OK,
    }
    assert_helpful(found)


def test_healthy_weights_in_transformers_layout(folder, tmp_path):
    config = folder_config(folder)
    found = verdicts(weights.check_weights(config))
    assert found["InstructBLIP folder"] is OK
    assert found["trained layers"] is NOTE
    model = build_model(config)
    config.finetuned = str(save_adapter(tmp_path / "adapter", model, model_type="vicuna7b"))
    found = list(weights.check_weights(config))
    assert only(found, "trained layers").verdict is OK
    assert only(found, "base of the adapter").verdict is OK
    assert "7 parts compared" in only(found, "base of the adapter").found


def test_no_weights_at_all(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("INSTRUCTBLIP", "EVA_VIT", "VICUNA", "CHECKPOINT"):
        monkeypatch.delenv(f"LAVIS_SAM_{name}", raising=False)
    monkeypatch.setenv("LAVIS_SAM_BERT", str(tmp_path / "nowhere"))
    found = list(weights.check_weights(model_config("vicuna7b")))
    for key in ("model.pretrained", "model.vit_checkpoint", "model.llm_model", "model.bert_tokenizer"):
        assert only(found, key).verdict is FAILURE
        assert f"Put it there, or set {key} in the config or LAVIS_SAM_" in only(found, key).remedy


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_vicuna_config(folder, **changes):
    """config.json of a Vicuna-7B, with changes."""
    real = {"model_type": "llama", "hidden_size": 4096, "vocab_size": 32000, "rms_norm_eps": 1e-6}
    (folder / "config.json").write_text(json.dumps(real | {"max_position_embeddings": 2048} | changes))


BREAKS = {
    "truncated-instructblip": (lambda d: halve(d / "instructblip.pth"), "InstructBLIP", FAILURE, "truncated, damaged"),
    "truncated-eva": (lambda d: halve(d / "eva.pth"), "EVA ViT", FAILURE, "truncated, damaged"),
    "eva-of-another-architecture": (
        lambda d: torch.save({"conv1.weight": torch.ones(2)}, d / "eva.pth"),
        "EVA ViT",
        FAILURE,
        "missing: cls_token",
    ),
    "lfs-pointer": (
        lambda d: (d / "instructblip.pth").write_text("version https://git-lfs.github.com/spec/v1"),
        "InstructBLIP",
        FAILURE,
        "Git LFS pointer",
    ),
    "vicuna-v0": (
        lambda d: write_vicuna_config(d / "vicuna", vocab_size=32001),
        "Vicuna version",
        FAILURE,
        "Vicuna v0 (a vocabulary of 32001",
    ),
    "vicuna-v1.5": (
        lambda d: write_vicuna_config(d / "vicuna", max_position_embeddings=4096, rms_norm_eps=1e-5),
        "Vicuna version",
        FAILURE,
        "Vicuna v1.5 (4096 positions",
    ),
    "vicuna-cut-off": (
        lambda d: halve(next((d / "vicuna").glob("*.safetensors"))),
        "language model",
        FAILURE,
        "truncated, damaged",
    ),
    "vicuna-part-missing": (
        lambda d: (d / "vicuna" / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}})
        ),
        "language model",
        FAILURE,
        "model-00002-of-00002.safetensors is missing",
    ),
    "vicuna-listed-parts-gone": (
        lambda d: list_parts_that_are_gone(d / "vicuna"),
        "language model",
        FAILURE,
        "model-00001-of-00001.safetensors is missing",
    ),
    "tokenizer-pointer": (
        lambda d: (d / "vicuna" / "tokenizer.model").write_text("version https://git-lfs.github.com/spec/v1"),
        "LLM tokenizer",
        FAILURE,
        "no sentencepiece model",
    ),
}


def list_parts_that_are_gone(folder):
    """Old files are whole, but the loader, too, takes the safetensors that are listed."""
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    listed = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))


def test_a_damaged_index_of_old_files_beside_whole_safetensors_does_no_harm(source, files, tmp_path):
    (tmp_path / "vicuna" / "pytorch_model.bin.index.json").write_text("{")
    found = list(weights.check_weights(config_for(source, SIZES, files)))
    assert only(found, "language model").verdict is OK


@pytest.mark.parametrize("name", BREAKS)
def test_broken_weights(source, files, tmp_path, name):
    damage, check, verdict, words = BREAKS[name]
    damage(tmp_path)
    found = list(weights.check_weights(config_for(source, SIZES, files)))
    assert only(found, check).verdict is verdict
    assert words in only(found, check).found
    assert only(found, check).remedy
    others = {finding.check for finding in found if finding.verdict is FAILURE} - {check}
    assert not others, "the rest is healthy, and is said to be"


def test_vocabulary_of_another_bert(source, files, tmp_path):
    words = (TOKENIZERS / "vocab.txt").read_text().splitlines()
    (tmp_path / "vocab.txt").write_text("\n".join([*words, "further"]) + "\n")
    config = config_for(source, SIZES, files | {"bert_tokenizer": str(tmp_path / "vocab.txt")})
    found = only(weights.check_weights(config), "Q-Former tokenizer")
    assert found.verdict is FAILURE
    assert "1501 tokens with [DEC], but the Q-Former has 1500 rows" in found.found


def test_trained_layers_of_another_model(source, files, tmp_path):
    state = trainable_state_dict(source)
    state["w_former.linear_c.weight"] = torch.ones(3, 3)
    torch.save({"model": state}, tmp_path / "sam.pth")
    found = list(weights.check_weights(config_for(source, SIZES, files, finetuned=str(tmp_path / "sam.pth"))))
    assert only(found, "trained layers").verdict is FAILURE
    assert "w_former.linear_c.weight is [3, 3]" in only(found, "trained layers").found


def test_folder_with_a_part_cut_off(folder):
    halve(sorted(folder.glob("*.safetensors"))[1])
    found = only(weights.check_weights(folder_config(folder)), "InstructBLIP folder")
    assert found.verdict is FAILURE
    assert "truncated, damaged" in found.found


def test_a_missing_vicuna_file_does_not_hide_the_rest(source, files):
    shutil.rmtree(files["llm_model"])
    found = verdicts(weights.check_weights(config_for(source, SIZES, files)))
    assert found["model.llm_model"] is FAILURE
    assert found["InstructBLIP"] is OK
