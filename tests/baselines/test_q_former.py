"""Models with a Q-Former: images follow one another, and padding is on the left."""

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from helpers.local_models import Q_FORMER, load
from lavis_sam.baselines.q_former import pad_left
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.models.decoding import Decoding


@pytest.mark.parametrize("name", Q_FORMER)
def test_one_image_equals_transformers_own_way(folders, ask, name):
    question = ask("a", "What is it?", 1)
    model = AutoModelForImageTextToText.from_pretrained(folders(name)).eval()
    processor = AutoProcessor.from_pretrained(folders(name))
    inputs = processor(images=question.images[0], text=question.instruction, return_tensors="pt")
    with torch.no_grad():
        written = model.generate(**inputs, num_beams=5, max_new_tokens=9, do_sample=False)
    # transformers' own returns what it wrote, after the prompt where it has ids of one.
    new = written[:, inputs["input_ids"].shape[1] :] if written.shape[1] > 12 else written
    expected = processor.batch_decode(new, skip_special_tokens=True)[0].strip()
    assert load(folders(name), Decoding(max_length=10, repetition_penalty=1.0)).answer([question]) == [expected]


@pytest.mark.parametrize("name", Q_FORMER)
def test_images_follow_one_another_before_the_instruction(folders, ask, name):
    answerer = load(folders(name))
    two, one = ask("a", "What?", 2), ask("b", "What?", 1)
    tokens = answerer._visual_tokens([two, one])
    queries = answerer._model.query_tokens.shape[1]
    assert [len(rows) for rows in tokens] == [2 * queries, queries]
    alone = [answerer._visual_tokens([EvaluationSample(two.sample, (image,))])[0] for image in two.images]
    torch.testing.assert_close(tokens[0], torch.cat(alone))
    assert (alone[0] - alone[1]).abs().max() > 1e-3
    other = answerer._visual_tokens([EvaluationSample(ask("a", "How many?", 2).sample, two.images)])[0]
    same = torch.allclose(tokens[0], other, atol=1e-4)
    assert same == (name != "instructblip")  # whose Q-Former reads the instruction


def test_padding_is_on_the_left():
    batch, mask = pad_left([torch.ones(2, 3), torch.full((4, 3), 2.0)])
    assert mask.tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert batch[0].sum(1).tolist() == [0.0, 0.0, 3.0, 3.0]
