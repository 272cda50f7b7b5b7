"""Chat models: templates, marks of images, and their order."""

import shutil

import pytest
import torch

from helpers.local_models import CHAT, load
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.model import EvaluationSample


@pytest.mark.parametrize("name", CHAT)
def test_every_image_and_their_order_count(folders, ask, name):
    answerer = load(folders(name))
    question = ask("a", "What?", 2)
    first, second = question.images
    shown = [(first, second), (second, first), (first,), (first, first)]
    with torch.no_grad():
        found = [
            answerer._model(**answerer._inputs([EvaluationSample(question.sample, images)])).logits[0, -1]
            for images in shown
        ]
    for index, logits in enumerate(found):
        for other in found[:index]:
            assert (logits - other).abs().max() > 1e-4  # the same images again: below 1e-6


def test_a_text_that_looks_like_a_image_is_refused(folders, ask):
    with pytest.raises(SamDataError, match="sample 'a': the instruction holds '<image>'"):
        load(folders("llava")).answer([ask("a", "What is <image>?")])


def test_a_model_without_a_template_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders("llava"), tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(
        SamConfigurationError, match="bare: found a LlavaProcessor without a tokenizer or a chat template"
    ):
        load(folder)


def test_a_template_that_fails_is_named(folders, tmp_path, ask):
    folder = shutil.copytree(folders("llava"), tmp_path / "odd")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('text only') }}")
    with pytest.raises(SamConfigurationError, match=r"odd: its chat template fails on a turn of 2 images.*text only"):
        load(folder).answer([ask("a")])


def test_a_processor_that_refuses_is_named(folders, tmp_path, ask):
    folder = shutil.copytree(folders("llava"), tmp_path / "blind")
    (folder / "chat_template.jinja").write_text("no marks: {{ messages[0]['content'][-1]['text'] }}")
    answerer = load(folder)
    with pytest.raises(SamDataError, match=r"sample\(s\) 'a' \(2 images\)"):
        answerer.answer([ask("a")])


@pytest.mark.parametrize(
    ("ending", "written", "wanted"),
    [
        ("", "<think>A cat? No.</think>\n\na dog ", "a dog"),
        ("<think>\n", "A cat? No.</think>a dog", "a dog"),
        ("<think>\n", "A cat? No, it is", ""),
        ("", "a dog", "a dog"),
    ],
)
def test_thoughts_of_a_local_model_are_no_answer(folders, tmp_path, ask, monkeypatch, ending, written, wanted):
    folder = shutil.copytree(folders("llava"), tmp_path / "thinker")
    with (folder / "chat_template.jinja").open("a") as template:
        template.write(ending)
    model = load(folder)
    monkeypatch.setattr(model._processor, "batch_decode", lambda *_, **__: [written])
    assert model.answer([ask("a")]) == [wanted]
