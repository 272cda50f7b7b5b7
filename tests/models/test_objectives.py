"""The table of objectives: today's loss by default, and a second one without touching the package."""

import pytest
import torch
from omegaconf import OmegaConf

from helpers.models import random_batch, small_model
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.objectives import OBJECTIVES, LossTerm, read_objectives, register_objective, total_loss
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.packaged import MODEL_CONFIGS


@pytest.fixture
def batch():
    return random_batch([3, 1, 2])


@pytest.fixture
def token_length():
    """A second objective: the mean square of the visual tokens, over those of real images."""

    @register_objective("token_length")
    def token_length(model, visual, samples, outputs):
        real = visual.tokens[visual.token_mask]
        return LossTerm(real.square().mean(dim=-1).sum(), len(real))

    yield token_length
    del OBJECTIVES["token_length"]


def test_default_is_the_mean_over_target_tokens(batch):
    model = small_model()
    output = model(batch)
    wanted = model.loss(model.encode(batch, batch["text_input"]), batch["text_input"], batch["text_output"])
    assert torch.equal(output["loss"], wanted.token_losses.mean())
    assert torch.equal(output["loss"], wanted.loss)
    assert list(output["losses"]) == ["language"]
    term = output["losses"]["language"]
    assert term.weight == 1
    assert int(term.count) == int(output["target_tokens"].sum())
    assert torch.equal(term.sum / term.count, output["loss"])


def test_a_second_objective_joins_the_total_with_its_own_weight_and_count(batch, token_length):
    model = small_model()
    alone = model(batch)["loss"]
    model.objectives = read_objectives({"language": 0.5, "token_length": 2})
    output = model(batch)
    term = output["losses"]["token_length"]
    assert (term.count, term.weight) == (6 * 3, 2.0)
    torch.testing.assert_close(output["loss"], 0.5 * alone + 2 * term.sum / 18)
    output["loss"].backward()
    assert model.llm_proj.weight.grad.any()


def test_a_term_without_items_adds_nothing():
    value = torch.tensor(6.0)
    terms = [LossTerm(value, 3), LossTerm(torch.zeros(()), 0), LossTerm(torch.zeros(()), torch.tensor(0))]
    assert total_loss(terms) == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "model.objectives is empty"),
        ({"langage": 1}, "model.objectives: unknown objective 'langage'. Did you mean 'language'?"),
        ({"language": -1}, "model.objectives.language is -1; wanted a weight"),
        ({"language": True}, "is True; wanted a weight"),
        ({"language": float("nan")}, "is nan; wanted a weight"),
        ({"language": "1"}, "is '1'; wanted a weight"),
    ],
)
def test_impossible_objectives_are_named(values, words):
    with pytest.raises(SamConfigurationError) as caught:
        read_objectives(values)
    assert words in str(caught.value)


def test_a_config_names_objectives_and_weights(token_length):
    cfg = OmegaConf.load(MODEL_CONFIGS["tiny"]).model
    assert build_model(cfg).objectives == {"language": 1.0}
    cfg.objectives = {"token_length": 3}
    assert build_model(cfg).objectives == {"token_length": 3.0}
