"""Which attention kernels the masks of a batch allow: none of them forces the slow one, which stores every score."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from helpers.models import ANSWERS, TEXTS, random_batch, small_model
from lavis_sam.models.language.language_model import without_trailing_padding


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each attention, as they come."""
    found, original = [], F.scaled_dot_product_attention

    def attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **further):
        found.append({"mask": attn_mask, "is_causal": is_causal, "dropout": dropout_p})
        return original(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, **further)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    return found


def same_instruction(counts, answers):
    batch = random_batch(counts, texts=TEXTS[:1] * len(counts))
    return batch | {"text_output": answers}


def test_without_padding_no_attention_has_a_mask_and_the_language_model_is_causal(calls):
    model, batch = small_model(), same_instruction([2, 2], ANSWERS[:1] * 2)
    model(batch)["loss"].backward()
    layers = len(model.llm_model.model.layers)
    assert len(calls) > layers
    assert [call["mask"] for call in calls] == [None] * len(calls)
    assert [call["is_causal"] for call in calls] == [False] * (len(calls) - layers) + [True] * layers
    assert not any(call["dropout"] for call in calls)


def test_answers_of_several_lengths_need_no_mask(calls):
    model, batch = small_model(), same_instruction([2, 2, 2], [ANSWERS[3], ANSWERS[0], ANSWERS[1]])
    model(batch)
    assert [call["mask"] for call in calls] == [None] * len(calls)
    assert calls[-1]["is_causal"]


def test_padded_images_are_masked_in_the_language_model_alone(calls):
    model, batch = small_model(), same_instruction([3, 1], ANSWERS[:1] * 2)
    model(batch)
    layers = len(model.llm_model.model.layers)
    assert [call["mask"] for call in calls[:-layers]] == [None] * (len(calls) - layers)
    assert all(call["mask"] is not None and not call["is_causal"] for call in calls[-layers:])


@pytest.mark.parametrize("counts", [[2, 2], [3, 1, 2]])
def test_every_attention_of_a_training_step_runs_in_the_fused_kernel(counts):
    """PyTorch's CPU has two kernels: with the slow one forbidden, whatever the fused one refuses is an error."""
    model, batch = small_model(), random_batch(counts)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
        model(batch)["loss"].backward()


def test_every_attention_of_an_answer_runs_in_the_fused_kernel():
    model, batch = small_model(), random_batch([3, 1, 2])
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
        assert len(model.generate(batch, max_length=6)) == 3


def test_the_slow_kernel_can_be_forbidden():
    """What the two tests above rely on."""
    query = torch.zeros(1, 2, 3, 4)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]), pytest.raises(RuntimeError, match="kernel"):
        F.scaled_dot_product_attention(query, query, query, dropout_p=0.5)


@pytest.mark.parametrize(
    ("mask", "is_dropped"),
    [
        ([[1, 1, 1], [1, 1, 1]], True),
        ([[1, 1, 0], [1, 1, 1]], True),
        ([[1, 1, 1], [0, 1, 1]], False),
        ([[1, 0, 1], [1, 1, 0]], False),
    ],
)
def test_only_trailing_padding_is_dropped(mask, is_dropped):
    mask = torch.tensor(mask)
    assert torch.equal(without_trailing_padding(mask), torch.ones_like(mask) if is_dropped else mask)


def test_masks_of_other_shapes_stay():
    mask = torch.zeros(2, 1, 3, 3)
    assert without_trailing_padding(mask) is mask


@pytest.mark.parametrize("answers", [ANSWERS[:3], ANSWERS[1:4]])
def test_trailing_padding_changes_no_sample(answers):
    model, batch = small_model(), same_instruction([2, 2, 2], answers)
    together = model(batch)["per_sample_loss"]
    for number in range(3):
        alone = {key: value[number : number + 1] for key, value in batch.items()}
        torch.testing.assert_close(model(alone)["per_sample_loss"][0], together[number], rtol=1e-5, atol=1e-5)
