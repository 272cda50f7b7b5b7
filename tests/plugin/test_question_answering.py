"""Answers and ranked candidates: the prompts as InstructBLIP's release writes them, losses against plain loops."""

import pytest
import torch

from helpers.models import random_batch, sample_of, small_model
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.plugin.question_answering import AnswersQuestions, answer_prompts, class_prompts, name_choices

CANDIDATES = ["a red chair", "two dogs on a sofa", "cat", "The girl waves."]


class Answering(AnswersQuestions, SemanticAlignment):
    """The plain model with LAVIS's question answering, as the registered model has it."""


@pytest.fixture(scope="module")
def model():
    model = small_model()
    model.__class__ = Answering
    return model


def batch(**changes):
    samples = random_batch([2, 3])
    del samples["text_output"]
    return {**samples, **changes}


def test_questions_go_into_the_prompt():
    samples = {"text_input": ["What is it?", "{Who}?"]}
    assert answer_prompts(samples, "") == ["What is it?", "{Who}?"]
    assert answer_prompts(samples, "Q: {} A:") == ["Q: What is it? A:", "Q: {Who}? A:"]


def test_ocr_tokens_stand_before_the_question_and_thirty_count():
    samples = {"text_input": ["Which brand?"], "ocr_tokens": [[str(n) for n in range(40)]]}
    (text,) = answer_prompts(samples, "OCR: {}. Question: {}")
    assert text == f"OCR: {', '.join(str(n) for n in range(30))}. Question: Which brand?"


def test_choices_stand_after_it_with_letters():
    samples = {"text_input": ["Which?", "What?"], "choices": [["x", "y"], ["one", "two", "three"]]}
    assert answer_prompts(samples, "{} Options: {}.") == [
        "Which? Options: (a) x (b) y.",
        "What? Options: (a) one (b) two (c) three.",
    ]
    with pytest.raises(SamDataError, match="27 choices; there are letters for 26"):
        name_choices(["x"] * 27)


@pytest.mark.parametrize(
    ("samples", "prompt", "error", "words"),
    [
        ({}, "", SamDataError, 'samples["text_input"] is a NoneType'),
        ({"text_input": ["a"]}, "no place", SamConfigurationError, "has 0 places"),
        ({"text_input": ["a"]}, "{} {} {}", SamConfigurationError, "has 3 places"),
        ({"text_input": ["a"]}, "{} {}", SamDataError, 'neither "ocr_tokens" nor "choices"'),
        ({"text_input": ["a"], "choices": [["x"], ["y"]]}, "{} {}", SamDataError, "wanted a list of B = 1"),
        ({"text_input": ["a"], "ocr_tokens": ["word"]}, "{} {}", SamDataError, "wanted a list of texts for each"),
    ],
)
def test_prompts_that_cannot_be_made(samples, prompt, error, words):
    with pytest.raises(error) as caught:
        answer_prompts(samples, prompt)
    assert words in str(caught.value)


def test_answers_are_what_generate_writes_to_the_whole_prompt(model):
    samples = batch()
    wanted = model.generate(
        {**samples, "prompt": [f"Question: {text}" for text in samples["text_input"]]},
        num_beams=3,
        max_length=10,
        min_length=1,
        length_penalty=0,
    )
    assert model.predict_answers(samples, num_beams=3, prompt="Question: {}") == wanted
    assert "prompt" not in samples, "the caller's batch stays as it is"
    with pytest.raises(SamConfigurationError, match="inference_method is 'rank'"):
        model.predict_answers(samples, inference_method="rank")


def test_answers_take_the_defaults_of_lavis(model):
    samples = batch()
    wanted = model.generate(
        {**samples, "prompt": samples["text_input"]}, num_beams=5, max_length=10, min_length=1, length_penalty=0
    )
    assert model.predict_answers(samples, answer_list=["a"], num_ans_candidates=128) == wanted


def test_class_prompts_have_question_context_history_and_caption():
    samples = {
        "image": torch.zeros(2, 3, 2, 28, 28),
        "prompt": "Question: {} Answer:",
        "text_input": ["one", "two"],
        "context": ["a fact", ""],
        "history": ["A: x", "B: y"],
        "caption": ["a dog", "a cat"],
    }
    assert class_prompts(samples) == [
        'This image has the caption "a dog". dialog history: A: x\ncontext: a fact. Question: one Answer:',
        'This image has the caption "a cat". dialog history: B: y\nQuestion: two Answer:',
    ]
    assert class_prompts({**samples, "context": "", "history": None, "caption": None})[0] == "Question: one Answer:"
    many = {**samples, "prompt": ["{}, {}", "{}"], "text_input": [["p", "q"], ["r"]], "context": ""}
    assert [text.rsplit("\n")[-1] for text in class_prompts(many)] == ["p, q", "r"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, 'samples["image"] is a NoneType'),
        ({"prompt": None}, 'samples["prompt"] is a NoneType'),
        ({"prompt": ["x"]}, 'samples["prompt"] is a list'),
        ({"text_input": ["x"]}, 'samples["text_input"] is a list'),
        ({"prompt": "{} {}", "text_input": ["x", "y"]}, "has 2 places {} for 1 texts"),
        ({"caption": ["x"]}, 'samples["caption"]'),
    ],
)
def test_class_prompts_that_cannot_be_made(changes, words):
    with pytest.raises(SamDataError) as caught:
        class_prompts({"image": torch.zeros(2, 3, 2, 28, 28), "prompt": "p", **changes})
    assert words in str(caught.value)


def slow_losses(model, samples, prompts, candidates):
    """The summed token losses, one sample and one candidate at a time, with whole logits."""
    rows = []
    for b, prompt in enumerate(prompts):
        with torch.no_grad():
            visual = model.encode(sample_of({**samples, "text_output": prompts}, b), [prompt])
            losses = []
            for text in candidates:
                head, tail = model.llm_tokenizer.encode(prompt), model.llm_tokenizer.encode(text)[1:]
                words = model.llm_model.get_input_embeddings()(torch.tensor([head + tail]))
                logits = model.llm_model(inputs_embeds=torch.cat((visual.tokens, words), dim=1)).logits[0]
                scores = logits.log_softmax(-1)[-len(tail) - 1 : -1]
                losses.append(-scores[range(len(tail)), tail].sum())
        rows.append(torch.stack(losses))
    return torch.stack(rows)


@pytest.mark.parametrize("n_segments", [1, 2, 3, 4])
def test_candidates_are_ranked_by_their_summed_loss(model, n_segments):
    samples = batch(prompt="Question: {} Answer:")
    prompts = class_prompts(samples)
    losses = slow_losses(model, samples, prompts, CANDIDATES)
    gaps = losses.sort(dim=1).values.diff(dim=1)
    assert gaps.min() > 1e-3, "the order would depend on rounding"
    found = model.predict_class(samples, CANDIDATES, n_segments=n_segments)
    assert torch.equal(found, losses.argsort(dim=1))


def test_candidates_of_each_sample(model):
    samples = batch(prompt="What?")
    equal = model.predict_class(samples, [CANDIDATES[:3], CANDIDATES[1:]])
    assert equal.shape == (2, 3)
    whole = model.predict_class(samples, CANDIDATES)
    assert equal[0].tolist() == [n for n in whole[0].tolist() if n < 3]
    assert equal[1].tolist() == [n - 1 for n in whole[1].tolist() if n > 0]
    ragged = model.predict_class(samples, [CANDIDATES, CANDIDATES[:2]])
    assert ragged[0] == whole[0].tolist()
    assert ragged[1] == [n for n in whole[1].tolist() if n < 2]


def test_guidance_is_on_when_candidates_are_ranked(model):
    samples = batch(prompt="What?", text_input=["", ""])
    flat = {"image": samples["image"][:, :, 0], "prompt": "What?"}
    from lavis_sam.models.visual_path import VisualPath
    from lavis_sam.plugin.question_answering import candidate_losses

    with torch.no_grad():
        paths = [model.encode(part, ["What?"] * 2) for part in (samples, flat)]
        guided, plain = (
            candidate_losses(
                model, VisualPath(path.tokens[:, :3], path.token_mask[:, :3]), ["What?"] * 2, CANDIDATES, 1
            )
            for path in paths
        )
    assert (guided - plain).abs().max() > 1e-3
    assert paths[0].semantics is not None


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        ([], "wanted a list of texts"),
        ("cat", "wanted a list of texts"),
        ([["a"]], "1 lists of candidates for 2 samples"),
        ([["a"], "b"], "the candidates of sample 1"),
        ([["a"], []], "the candidates of sample 1"),
        (["a", " "], "candidate 1 of 2 is empty"),
    ],
)
def test_impossible_candidates(model, candidates, words):
    with pytest.raises(SamDataError) as caught:
        model.predict_class(batch(prompt="What?"), candidates)
    assert words in str(caught.value)


@pytest.mark.parametrize("n_segments", [0, 5])
def test_impossible_segments(model, n_segments):
    with pytest.raises(SamConfigurationError, match=f"n_segments is {n_segments}; wanted 1 to"):
        model.predict_class(batch(prompt="What?"), CANDIDATES, n_segments=n_segments)


WORDS = "word " * 10_000


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.predict_answers(batch(text_input=["What?", WORDS])),
        lambda model: model.predict_class(batch(prompt=["What?", WORDS]), CANDIDATES),
        lambda model: model.predict_class(batch(prompt="What?"), [CANDIDATES, ["cat", WORDS]]),
    ],
    ids=["question", "prompt", "candidate"],
)
def test_ten_thousand_words_are_refused_by_the_samples_number(ask):
    model = small_model()
    model.__class__ = Answering
    model.max_txt_len = 50  # of what the small Q-Former reads
    with pytest.raises(SamDataError, match=r"sample 1 of the batch has 9 visual tokens .* and \d{5} text tokens"):
        ask(model)
