"""The arithmetic of a model on several cards, and in the machine's memory beside one."""

import pytest
from omegaconf import OmegaConf

from lavis_sam.planning.forecast import Load, make_plan
from lavis_sam.planning.spread import SpreadOverCards, plan_spread, spread
from lavis_sam.weights.packaged import MODEL_CONFIGS

GB = 10**9


@pytest.mark.parametrize(
    ("units", "rest", "beside", "wanted"),
    [
        # 24 GB are 21.8 with a margin of a tenth.
        ([3] * 4, 9, 0, (1, 0)),
        ([3] * 4, 10, 0, (2, 6)),  # 12 do not fit beside 10; one card keeps room for 3, so 2 layers stay and 2 wait
        ([3] * 4, 4, 6, (2, 6)),  # activations are on each card
        ([5] * 9, 0, 0, (3, 30)),  # 4 layers a card: the rest of a card is too small for a fifth
        ([3] * 4, 22, 0, (None, None)),  # what cannot be spread does not fit
        ([23], 0, 0, (None, None)),  # nor one layer
        ([3] * 4, 18, 0, (2, 12)),  # all layers wait
        ([3] * 4, 20, 0, (2, None)),  # no room to bring one back
    ],
)
def test_cards_and_what_waits(units, rest, beside, wanted):
    found = spread([unit * GB for unit in units], rest * GB, beside * GB, 24, can_wait=True)
    waiting = None if wanted[1] is None else wanted[1] * GB
    assert found == SpreadOverCards(24, wanted[0], waiting)


def test_nothing_waits_where_all_would_come_back():
    assert spread([3 * GB] * 4, 10 * GB, 0, 24, can_wait=False) == SpreadOverCards(24, 2, None)
    assert spread([3 * GB] * 4, 1 * GB, 0, 24, can_wait=False).waiting == 0


@pytest.mark.integration
@pytest.mark.parametrize("checkpointing", [False, True])
def test_plan_of_13b_at_real_sizes(checkpointing):
    config = OmegaConf.load(MODEL_CONFIGS["vicuna13b"])
    config.model.update(dict.fromkeys(("pretrained", "vit_checkpoint", "llm_model", "bert_tokenizer"), ""))
    config.model.finetuned = ""
    config.model.gradient_checkpointing = checkpointing
    plain = OmegaConf.to_container(config.model, resolve=True)
    plan = make_plan(plain, Load())
    found = plan_spread(plain, plan)
    assert {use: [one.cards for one in sizes] for use, sizes in found.items()} == {
        "training": [2, 1, 1],
        "generation": [2, 1, 1],
    }
    small = found["training"][0]
    assert (small.waiting is not None) == checkpointing
    total = plan.memory["generation"]
    waiting = found["generation"][0].waiting
    # What does not fit, and room for a layer of 0.63 GB that is brought back.
    assert 0 < waiting - (total - 24 * GB / 1.1) < 3 * 0.64 * GB
