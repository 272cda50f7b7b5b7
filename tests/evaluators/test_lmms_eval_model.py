"""The model's methods for lmms-eval; the base class is a fake, the end-to-end test has the real one."""

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.predictor import SamPredictor

GREEDY = {"num_beams": 1, "max_length": 8}
IMAGES = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]


class FakeBase:
    """What the model takes from lmms-eval's class."""

    def __init__(self):
        self.cache = []
        self.cache_hook = SimpleNamespace(add_partial=lambda *entry: self.cache.append(entry))
        self.task_dict = {}


@pytest.fixture(scope="module")
def model_class():
    with pytest.MonkeyPatch.context() as patch:
        api = ModuleType("lmms_eval.api.model")
        api.lmms = FakeBase
        for name in ("lmms_eval", "lmms_eval.api"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, api.__name__, api)
        patch.delitem(sys.modules, "lavis_sam.evaluators.lmms_eval_model", raising=False)
        yield import_module("lavis_sam.evaluators.lmms_eval_model").LmmsEvalModel
    sys.modules.pop("lavis_sam.evaluators.lmms_eval_model", None)


@pytest.fixture(scope="module")
def model(model_class):
    made = model_class("tiny", device="cpu", batch_size="2", **GREEDY)
    made.task_dict = {"task": {"test": [IMAGES[:2], IMAGES, IMAGES[2:]]}}
    return made


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor.from_pretrained("tiny", device="cpu")


def messages(images, text="What?", **more):
    content = [{"type": "image", "url": image} for image in images] + [{"type": "text", "text": text}]
    return [{"role": "user", "content": content} | more]


def request(number, settings, doc_to_messages=messages):
    return SimpleNamespace(args=("context", doc_to_messages, settings, number, "task", "test"))


def test_answers_come_in_the_order_of_requests(model, predictor):
    settings = [{"until": []}, {"until": [], "max_new_tokens": 3}, {"until": []}]
    answers = model.generate_until([request(number, one) for number, one in enumerate(settings)])
    documents = model.task_dict["task"]["test"]
    lengths = [8, 4, 8]
    assert answers == [
        predictor.caption(images, "What?", num_beams=1, max_length=length)
        for images, length in zip(documents, lengths, strict=True)
    ]
    assert sorted(entry[2] for entry in model.cache) == sorted(answers)


def test_an_answer_is_cut_at_the_stop_of_its_request(model):
    (whole,) = model.generate_until([request(0, {"until": []})])
    stop = whole[len(whole) // 2]
    assert model.generate_until([request(0, {"until": [stop]})]) == [whole.partition(stop)[0]]


def test_rounds_go_on_until_the_task_ends_them(model):
    seen = []

    def rounds(images, round_idx=None, previous_output=None, previous_round_info=None):
        if round_idx is None:
            return messages(images)
        seen.append((round_idx, list(previous_output), previous_round_info))
        return messages(images, "And?"), round_idx == 2, previous_output, {"round": round_idx}

    (outputs,) = model.generate_until_multi_round([request(0, {"until": []}, rounds)])
    assert len(outputs) == 2
    assert seen == [(1, outputs[:1], None), (2, outputs, {"round": 1})]


def test_loglikelihood_of_a_target_and_of_a_function(model):
    def asked(target):
        return SimpleNamespace(args=("What?", target, lambda document: document, 0, "task", "test"))

    same = model.loglikelihood([asked("A cat."), asked(lambda document: "A cat.")])
    assert same[0] == same[1]
    assert same[0][0] < 0
    assert same[0][1] in (True, False)


def test_turns_stand_on_lines_of_their_own(model, predictor):
    def turns(images):
        return [*messages(images, "One."), {"role": "assistant", "content": "Two."}, *messages([], "Three?")]

    (answer,) = model.generate_until([request(0, {"until": []}, turns)])
    assert answer == predictor.caption(IMAGES[:2], "One.\nTwo.\nThree?", **GREEDY)


def test_a_request_without_images_is_named(model):
    with pytest.raises(SamDataError, match=r"task test\[1\]: found 0 images"):
        model.generate_until([request(1, {}, lambda images: messages([]))])
    with pytest.raises(SamDataError, match=r"task test\[0\]: found a message whose content is a int"):
        model.generate_until([request(0, {}, lambda images: messages(images, content=3))])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"beams": 1}, "found 'beams', wanted one of num_beams"),
        ({"batch_size": "auto"}, "found 'auto', wanted a number"),
        ({"max_batch_size": 4}, "--max_batch_size: found 4, which bounds '--batch_size auto'"),
        ({"batch_size": "²"}, "found '²', wanted a number"),
        ({"batch_size": "9" * 5000}, "wanted a number"),
    ],
)
def test_wrong_arguments_are_named(model_class, arguments, words):
    with pytest.raises(SamConfigurationError, match=words):
        model_class("tiny", **arguments)


def test_several_processes_are_refused(model_class, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SamConfigurationError, match="WORLD_SIZE is 2"):
        model_class("tiny")
