"""What holds for every local model: answers, decoding, description."""

import json

import pytest

from helpers.local_models import CHAT, WRITERS, load
from lavis_sam.baselines.chat import ChatModel
from lavis_sam.baselines.q_former import QFormerModel
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import to_json
from lavis_sam.models.decoding import Decoding


@pytest.mark.parametrize("name", WRITERS)
def test_answers_depend_on_the_question_alone(folders, ask, name):
    answerer = load(folders(name))
    assert isinstance(answerer, ChatModel if name in CHAT else QFormerModel)
    questions = [
        ask("a", "What {image#1}?", 3),
        ask("b", "Say.", 1),
        ask("c", "Compare the two images.", 2, (64, 31)),
    ]
    together = answerer.answer(questions)
    assert len(together) == 3
    assert all(together)
    assert [answerer.answer([question])[0] for question in questions] == together
    assert answerer.answer(questions[::-1]) == together[::-1]
    assert load(folders(name)).answer(questions) == together


@pytest.mark.parametrize("name", WRITERS)
def test_the_decoding_is_obeyed(folders, ask, name):
    question = [ask("a", "What is this about? Say it.", 2)]

    def written(**settings):
        return load(folders(name), Decoding(num_beams=1, **settings)).answer(question)[0]

    assert len(written(max_length=3)) <= 2  # every token of these models is a byte
    assert len(written(max_length=30)) > 2
    assert written(max_length=30) != written(max_length=30, repetition_penalty=1.0)


@pytest.mark.parametrize("name", CHAT)
def test_the_repetition_penalty_does_not_look_at_the_prompt(folders, ask, name):
    answerer = load(folders(name), Decoding(num_beams=1, max_length=2, repetition_penalty=50.0))
    plain = load(folders(name), Decoding(num_beams=1, max_length=2, repetition_penalty=1.0))
    question = [ask("a", "".join(map(chr, range(32, 127))), 1)]  # nearly the whole vocabulary is in the prompt
    assert answerer.answer(question) == plain.answer(question)


def test_descriptions_are_plain_and_tell_models_apart(folders):
    one, other = load(folders("llava")).describe(), load(folders("llava"), Decoding(num_beams=2)).describe()
    assert json.loads(to_json(one)) == one
    assert str(folders("llava").parent) not in to_json(one)
    assert (one["model"], one["architecture"]) == ("llava", "LlavaForConditionalGeneration")
    assert one["weights"] == other["weights"]
    assert one["decoding"] != other["decoding"]
    assert load(folders("qwen2_vl")).describe()["weights"] != one["weights"]


@pytest.mark.parametrize("settings", [{"use_nucleus_sampling": True}, {"num_captions": 2}])
def test_a_decoding_that_cannot_be_compared(folders, settings):
    for name in ("llava", "blip2_opt"):
        with pytest.raises(SamConfigurationError, match="one answer"):
            load(folders(name), Decoding(**settings))
