"""The head of the objective `patch_words`: its loss against plain loops, and what it refuses."""

import math

import pytest
import torch
from omegaconf import OmegaConf

from helpers.models import random_batch
from helpers.pretraining import icon_sample, scene_sample, write_samples
from lavis_sam.datasets.patch_words import read_patch_labels
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.patch_words import PatchWords
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.packaged import MODEL_CONFIGS


@pytest.fixture
def data(tmp_path):
    samples = [scene_sample(n) if n % 2 == 0 else icon_sample(n, "duck") for n in range(40)]
    return write_samples(tmp_path / "set", samples)


def test_loss_is_the_sum_over_words_and_the_mean_over_patches(data):
    labels = read_patch_labels(data, 8)
    torch.manual_seed(0)
    head = PatchWords(16, labels)
    torch.nn.init.normal_(head.head.weight)
    features = torch.randn(2, 65, 16)
    found = head(features, ["000002-3", "000001"])
    for row, name in enumerate(["000002", "000001"]):
        wanted = 0.0
        for patch in range(64):
            logits = head.head(features[row, patch + 1])
            true = {int(w) for patches, words in labels.places[name] if patches[patch] for w in words}
            for word, logit in enumerate(logits.tolist()):
                probability = 1 / (1 + math.exp(-logit))
                wanted -= math.log(probability if word in true else 1 - probability) / 64
        assert found[row].item() == pytest.approx(wanted, rel=1e-4)


def test_it_starts_with_all_words_unlikely(data):
    head = PatchWords(16, read_patch_labels(data, 8))
    assert head.head(torch.zeros(16)).sigmoid().max() < 0.01


def model(data, **settings):
    node = {"trainable": "base", "guidance": {"extractor": "none"}, "inject": {"patch_words": {"data": str(data)}}}
    return build_model(OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, node, settings))


def test_base_training_adds_it_to_the_language_loss(data):
    built = model(data, objectives={"language": 1.0, "patch_words": 0.5}).train()
    output = built({**random_batch([1, 1], size=112), "sample_id": ["000000-1", "000001-0"]})
    language, words = output["losses"]["language"], output["losses"]["patch_words"]
    assert int(words.count) == 2
    assert words.weight == 0.5
    assert output["loss"].item() == pytest.approx((language.sum / language.count + 0.5 * words.sum / 2).item())
    output["loss"].backward()
    for name in ("visual_encoder.blocks.0.mlp.fc1.weight", "llm_model.lm_head.weight", "patch_words.head.weight"):
        assert bool(built.get_parameter(name).grad.any()), name


def test_alone_it_runs_neither_q_former_nor_language_model(data, monkeypatch):
    built = model(data, trainable="vision", objectives={"language": 0.0, "patch_words": 2.0}).train()
    batch = {**random_batch([1, 1], size=112), "sample_id": ["000000", "000001"]}
    whole = model(data, objectives={"language": 1.0, "patch_words": 2.0}).train()
    whole.load_state_dict(built.state_dict())
    words = whole(batch)["losses"]["patch_words"]
    monkeypatch.setattr(built, "visual_path", None)
    output = built(batch)
    assert list(output["losses"]) == ["patch_words"]
    assert output["target_tokens"].tolist() == [1, 1]
    assert output["loss"].item() == pytest.approx((words.sum / words.count * 2).item())
    output["loss"].backward()
    assert {name.split(".")[0] for name, p in built.named_parameters() if p.grad is not None and p.grad.any()} == {
        "visual_encoder", "ln_vision", "patch_words",
    }  # fmt: skip


def test_several_images_unknown_samples_and_a_missing_head_are_refused(data):
    built = model(data, objectives={"patch_words": 1.0})
    with pytest.raises(SamDataError, match="3 images in 2 samples; patch_words wants one"):
        built({**random_batch([1, 2], size=112), "sample_id": ["000000", "000001"]})
    with pytest.raises(SamDataError, match=r"sample 'mine': the data that model.inject names has no labels"):
        built({**random_batch([1], size=112), "sample_id": ["mine"]})
    node = {"guidance": {"extractor": "none"}, "objectives": {"patch_words": 1.0}}
    headless = build_model(OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, node))
    with pytest.raises(SamConfigurationError, match=r"needs model.inject.patch_words: \{data: DIR\}"):
        headless({**random_batch([1], size=112), "sample_id": ["000000"]})
