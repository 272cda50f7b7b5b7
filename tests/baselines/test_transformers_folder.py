"""Every local model is a random one of some kilobytes, in the folder layout that its authors use."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from helpers.vision_language import write_blip2, write_idefics3, write_instructblip, write_llava, write_qwen2_vl
from lavis_sam.baselines.chat import ChatModel
from lavis_sam.baselines.q_former import QFormerModel, pad_left
from lavis_sam.baselines.transformers_folder import load_model
from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.files import to_json
from lavis_sam.models.decoding import Decoding

WRITERS = {
    "llava": write_llava,
    "qwen2_vl": write_qwen2_vl,
    "idefics3": write_idefics3,
    "blip2_opt": write_blip2,
    "blip2_t5": lambda folder: write_blip2(folder, language="t5"),
    "instructblip": write_instructblip,
}
CHAT = ["llava", "qwen2_vl", "idefics3"]
Q_FORMER = ["blip2_opt", "blip2_t5", "instructblip"]
SHORT = Decoding(max_length=10)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name -> folder; each is written when it is asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = WRITERS[name](tmp_path_factory.mktemp("models") / name)
        return made[name]

    return folder


def load(folder, decoding=SHORT, **more):
    return load_model(str(folder), device="cpu", decoding=decoding, **more)


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


@pytest.mark.parametrize("name", ["llava", "blip2_opt"])
def test_precision(folders, ask, name):
    answerer = load(folders(name), precision="bf16")
    assert answerer.describe()["precision"] == "bfloat16"
    assert len(answerer.answer([ask("a"), ask("b", count=1)])) == 2


def test_descriptions_are_plain_and_tell_models_apart(folders):
    one, other = load(folders("llava")).describe(), load(folders("llava"), Decoding(num_beams=2)).describe()
    assert json.loads(to_json(one)) == one
    assert str(folders("llava").parent) not in to_json(one)
    assert (one["model"], one["architecture"]) == ("llava", "LlavaForConditionalGeneration")
    assert one["weights"] == other["weights"]
    assert one["decoding"] != other["decoding"]
    assert load(folders("qwen2_vl")).describe()["weights"] != one["weights"]


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


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_is_not_whole_is_refused(folders, tmp_path, damage):
    folder = shutil.copytree(folders("llava"), tmp_path / "damaged")
    (folder / damage).unlink()
    with pytest.raises(SamCheckpointError, match=r"damaged: found no .* nothing is downloaded"):
        load(folder)


def test_pickled_weights_are_not_read(folders, tmp_path):
    folder = shutil.copytree(folders("llava"), tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(SamCheckpointError, match="found no ModelForImageTextToText"):
        load(folder)


def test_code_that_comes_with_a_model_is_not_run(folders, tmp_path):
    folder = shutil.copytree(folders("llava"), tmp_path / "coded")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(SamCheckpointError):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_no_such_model_or_setting(tmp_path):
    with pytest.raises(SamCheckpointError, match="nowhere: found no Config"):
        load(tmp_path / "nowhere")
    with pytest.raises(SamConfigurationError, match="int4"):
        load(tmp_path, precision="int4")


@pytest.mark.parametrize("settings", [{"use_nucleus_sampling": True}, {"num_captions": 2}])
def test_a_decoding_that_cannot_be_compared(folders, settings):
    for name in ("llava", "blip2_opt"):
        with pytest.raises(SamConfigurationError, match="one answer"):
            load(folders(name), Decoding(**settings))
