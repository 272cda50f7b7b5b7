"""The visual path: run once and read often, and replaced by another one."""

import pytest
import torch
from torch import nn

from helpers.models import SIZES, TEXTS, random_batch, small_model
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.visual_path import VisualPath, guided_visual_path

DECODING = Decoding(num_beams=2, max_length=6)


@pytest.fixture
def batch():
    return random_batch([3, 1, 2])


def test_encode_runs_the_vit_once_for_loss_and_text(batch):
    model, calls = small_model(), []
    model.visual_encoder.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    with torch.no_grad():
        visual = model.encode(batch, batch["text_input"])
        loss = model.loss(visual, batch["text_input"], batch["text_output"])
        texts = model.generate_from(visual, batch["text_input"], DECODING).texts
    assert calls == [6]
    whole = model(batch)
    assert torch.equal(loss.loss, whole["loss"].detach())
    assert torch.equal(loss.per_sample_loss, whole["per_sample_loss"].detach())
    assert texts == model.generate({**batch, "prompt": batch["text_input"]}, num_beams=2, max_length=6)


def test_select_and_repeat_take_samples(batch):
    model = small_model()
    with torch.no_grad():
        visual = model.encode(batch, batch["text_input"])
    repeated = visual.repeat(2)
    assert repeated.tokens.shape[0] == repeated.token_mask.shape[0] == 6
    assert torch.equal(repeated.select(slice(None, None, 2)).tokens, visual.tokens)
    chosen = visual.select([2, 0])
    assert torch.equal(chosen.token_mask, visual.token_mask[[2, 0]])
    assert torch.equal(chosen.tokens[1], visual.tokens[0])


class Steered(nn.Module):
    """A second visual path: plain InstructBLIP, moved by a state of the language model."""

    def __init__(self, width):
        super().__init__()
        self.steer = nn.Linear(width, width, bias=False)

    def forward(self, model, samples, instructions):
        images = samples["image"][:, :, 0]
        plain = guided_visual_path(model, {"image": images}, instructions)
        words = model.llm_tokenizer(instructions)
        states = model.llm_model.model(words.input_ids, attention_mask=words.attention_mask).last_hidden_state
        return VisualPath(plain.tokens + self.steer(states[:, -1:]), plain.token_mask)


def test_another_visual_path_trains_and_answers(batch):
    model = small_model(zero=True)
    before = model(batch)["loss"]
    model.visual_path = Steered(SIZES.language.width)
    model(batch)["loss"].backward()
    assert model.visual_path.steer.weight.grad.any(), "the language model's state reached the loss"
    assert "visual_path.steer.weight" in model.state_dict()
    assert model(batch)["loss"] != before
    assert len(model.generate({**batch, "prompt": TEXTS[:3]}, num_beams=2, max_length=4)) == 3


def test_a_function_takes_the_place_of_the_visual_path(batch):
    model, plain = small_model(), small_model(extractor="none")
    model.visual_path = lambda model, samples, instructions: plain.encode(samples, instructions)
    assert torch.equal(model(batch)["loss"], plain(batch)["loss"])
