"""Messages, settings and stops of an evaluator; likelihoods are exact."""

import logging

import pytest
import torch

from lavis_sam.errors import SamDataError
from lavis_sam.evaluators.questions import ImagePrompt, cut_at, likelihoods, read_decoding, read_question
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.sequence import target_loss
from lavis_sam.plugin.question_answering import candidate_losses
from lavis_sam.predictor import SamPredictor


@pytest.mark.parametrize(
    ("parts", "prompt"),
    [
        ([("image", "a"), ("image", "b"), ("text", "Same?")], "Same?"),
        ([("image", "a"), ("text", "then"), ("image", "b"), ("text", "Same?")], "{image#1}then{image#2}Same?"),
        ([("text", "First "), ("image", "a"), ("text", ", then "), ("image", "b")], "First {image#1}, then {image#2}"),
        ([("text", ""), ("image", "a"), ("image", "b"), ("text", "x")], "x"),
    ],
)
def test_images_stay_separate_and_in_order(parts, prompt):
    images = tuple(value for kind, value in parts if kind == "image")
    assert read_question(parts, "here") == ImagePrompt(images, prompt)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([("text", "Hello")], "here: found 0 images"),
        ([("image", "a"), ("video", "b.mp4")], "here: found a part of type 'video'"),
    ],
)
def test_what_the_model_cannot_see_is_refused(parts, words):
    with pytest.raises(SamDataError, match=words):
        read_question(parts, "here")


def test_settings_of_generation(caplog):
    given = {"max_new_tokens": 20, "num_beams": None, "temperature": 0, "top_p": 1.0, "do_sample": False, "until": []}
    assert read_decoding(given, {"num_beams": 2}) == {"num_beams": 2, "max_length": 21}
    sampled = read_decoding({"do_sample": True, "temperature": 0.5, "top_p": 0.8, "min_new_tokens": 0}, {})
    assert sampled == {"use_nucleus_sampling": True, "temperature": 0.5, "top_p": 0.8, "min_length": 1}
    Decoding.from_mapping(sampled, "test")
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert read_decoding({"image_aspect_ratio": "pad"}, {}) == {}
    assert "image_aspect_ratio" in caplog.text


@pytest.mark.parametrize(
    ("stops", "text"), [(["\n\n"], "a.b"), (".", "a"), (["", None], "a.b\n\nc"), (None, "a.b\n\nc"), (["c", "."], "a")]
)
def test_an_answer_ends_at_the_first_stop(stops, text):
    assert cut_at("a.b\n\nc", stops) == text


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor.from_pretrained("tiny", device="cpu")


@pytest.fixture(scope="module")
def asked():
    values = torch.randint(0, 255, (2, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImagePrompt(tuple(values.numpy()), "What do both images show?")


def test_likelihoods_are_the_losses_of_predict_class(predictor, asked):
    targets = ["A cat.", "Two red chairs and a table", "yes"]
    found = likelihoods(predictor, asked, targets)
    batch = predictor._batch([(0, asked.images)])
    with torch.no_grad():
        visual = predictor.model.encode(batch, [asked.prompt])
        losses = candidate_losses(predictor.model, visual, [asked.prompt], targets, 1)[0]
    assert [-one.total for one in found] == pytest.approx(losses.tolist(), rel=1e-5)


def test_a_text_of_likeliest_tokens_is_greedy(predictor, asked, monkeypatch):
    """The logits are changed so that each token of the second text, and all but one of the third, is the likeliest."""
    texts = ["A dog.", "A cat on the mat", "Two red chairs"]
    lengths = [len(predictor.model.llm_tokenizer.encode_target(text, append_eos=False)) for text in texts]

    def changed(*arguments):
        result = target_loss(*arguments)
        rows = slice(lengths[0], sum(lengths) - 1)
        result.logits[rows] = result.logits[rows].scatter(1, result.target_ids[rows, None], 1e9)
        result.logits[-1, result.target_ids[-1]] = -1e9
        return result

    monkeypatch.setattr("lavis_sam.models.language.sequence.target_loss", changed)
    assert [one.is_greedy for one in likelihoods(predictor, asked, texts)] == [False, True, False]


def test_an_empty_target_is_refused(predictor, asked):
    with pytest.raises(SamDataError, match="target 1 of 2 is empty"):
        likelihoods(predictor, asked, ["a", " "])
    with pytest.raises(SamDataError, match="0 targets"):
        likelihoods(predictor, asked, [])
