"""The head of the objective `query_words`: its loss against plain loops, what rests beside it, and what it refuses."""

import math

import pytest
import torch
from omegaconf import OmegaConf

from helpers.models import random_batch
from helpers.pretraining import icon_sample, scene_sample, write_samples
from lavis_sam.datasets.patch_words import read_patch_labels
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.query_words import QueryWords
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.packaged import MODEL_CONFIGS


@pytest.fixture
def data(tmp_path):
    samples = [scene_sample(n) if n % 2 == 0 else icon_sample(n, "duck") for n in range(40)]
    return write_samples(tmp_path / "set", samples)


def model(data, **settings):
    node = {"trainable": "language", "guidance": {"extractor": "none"}, "inject": {"query_words": {"data": str(data)}}}
    return build_model(OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, node, settings))


def test_a_word_is_found_if_any_query_finds_it(data):
    labels = read_patch_labels(data, 8)
    torch.manual_seed(0)
    head = QueryWords(16, labels)
    torch.nn.init.normal_(head.head.weight)
    extracted = torch.randn(2, 3, 16)
    found = head(extracted, ["000002-3", "000001"])
    for row, name in enumerate(["000002", "000001"]):
        true = {int(w) for _, words in labels.places[name] for w in words}
        assert true
        wanted = 0.0
        for word in range(len(labels.words)):
            absent = 1.0
            for query in range(3):
                absent *= 1 - 1 / (1 + math.exp(-head.head(extracted[row, query])[word].item()))
            wanted -= math.log(1 - absent if word in true else absent)
        assert found[row].item() == pytest.approx(wanted, rel=1e-4)


def test_words_that_are_surely_absent_give_finite_losses_and_gradients(data):
    head = QueryWords(16, read_patch_labels(data, 8))
    torch.nn.init.constant_(head.head.bias, -200.0)
    extracted = torch.zeros(1, 3, 16, requires_grad=True)
    loss = head(extracted, ["000000"]).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(head.head.weight.grad).all()


def test_alone_it_trains_the_q_former_and_the_language_model_rests(data, monkeypatch):
    built = model(data, objectives={"language": 0.0, "query_words": 2.0}).train()
    batch = {**random_batch([1, 1], size=112), "sample_id": ["000000-1", "000001"]}
    whole = model(data, objectives={"language": 1.0, "query_words": 2.0}).train()
    whole.load_state_dict(built.state_dict())
    both = whole(batch)
    monkeypatch.setattr(built, "loss", None)
    output = built(batch)
    assert list(output["losses"]) == ["query_words"]
    assert output["target_tokens"].tolist() == [1, 1]
    words, language = both["losses"]["query_words"], both["losses"]["language"]
    assert output["loss"].item() == pytest.approx((words.sum / 2 * 2).item(), rel=1e-5)
    assert both["loss"].item() == pytest.approx((words.sum / 2 * 2 + language.sum / language.count).item(), rel=1e-5)
    output["loss"].backward()
    moved = {name.split(".")[0] for name, p in built.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"Qformer", "query_tokens", "query_words"}


@pytest.mark.parametrize("four_dimensions", [False, True])
def test_with_vpg_c_its_loss_and_gradients_are_those_without(data, four_dimensions):
    batch = {**random_batch([1, 1], size=112), "sample_id": ["000000-1", "000001"]}
    if four_dimensions:
        batch["image"] = batch["image"][:, :, 0]
        del batch["image_mask"]
    plain = model(data, objectives={"language": 1.0, "query_words": 2.0}).train()
    built = model(data, objectives={"language": 1.0, "query_words": 2.0}, inject={"vpg_c": {}}).train()
    assert not built.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    losses, queries = [], []
    for one in (plain, built):
        term = one(batch)["losses"]["query_words"]
        losses.append(term.sum)
        queries.append(torch.autograd.grad(term.sum, one.query_tokens)[0])
    assert torch.equal(*losses)
    assert torch.equal(*queries)


def test_without_its_head_it_says_what_to_set(data):
    built = model(data, inject={"query_words": {"data": str(data)}}, objectives={"query_words": 1.0}).train()
    del built.query_words
    with pytest.raises(SamConfigurationError, match=r"model\.inject\.query_words"):
        built({**random_batch([1], size=112), "sample_id": ["000000"]})


def test_several_images_a_sample_are_refused(data):
    built = model(data, objectives={"query_words": 1.0}).train()
    with pytest.raises(SamDataError, match="wants one image a sample"):
        built({**random_batch([2], size=112), "sample_id": ["000000"]})


def test_a_sample_without_labels_is_refused(data):
    built = model(data, objectives={"query_words": 1.0}).train()
    with pytest.raises(SamDataError, match=r"'000777-1'.*no labels"):
        built({**random_batch([1], size=112), "sample_id": ["000777-1"]})
