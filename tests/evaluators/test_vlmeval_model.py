"""The model's methods for VLMEvalKit; the base class is a fake, the end-to-end test has the real one."""

from importlib import import_module

import pytest
from PIL import Image

from helpers import fake_vlmeval
from lavis_sam.errors import SamDataError
from lavis_sam.evaluators.questions import likelihoods, read_question
from lavis_sam.predictor import SamPredictor

GREEDY = {"num_beams": 1, "max_length": 8}
NAN = float("nan")


@pytest.fixture(scope="module")
def model_class():
    with fake_vlmeval.installed():
        yield import_module("lavis_sam.evaluators.vlmeval_model").VlmevalModel


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor.from_pretrained("tiny", device="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{colour}.png" for colour in ("red", "blue")]
    for path in paths:
        Image.new("RGB", (16, 16), path.stem).save(path)
    return [str(path) for path in paths]


def parts(*values):
    return [{"type": "image" if str(value).endswith(".png") else "text", "value": value} for value in values]


def test_images_stay_where_the_message_has_them(model_class, predictor, images):
    model = model_class(predictor, "text", GREEDY)
    red, blue = images
    assert model.generate(parts(red, blue, "Same?"), "BLINK") == predictor.caption(images, "Same?", **GREEDY)
    between = predictor.caption(images, "Is {image#1} what {image#2} shows?", **GREEDY)
    assert model.generate(parts("Is ", red, " what ", blue, " shows?"), "MUIRBench") == between


def test_a_text_that_is_a_file_or_an_address_stays_a_text(model_class, predictor, images):
    model = model_class(predictor, "text", GREEDY)
    for text in ("https://example.org/image.png", images[1]):
        message = [{"type": "image", "value": images[0]}, {"type": "text", "value": text}]
        assert model.generate(message) == predictor.caption(images[:1], text, **GREEDY)


def test_what_the_model_cannot_see_is_refused(model_class, predictor):
    model = model_class(predictor, "text", GREEDY)
    with pytest.raises(SamDataError, match="a question of BLINK: found 0 images"):
        model.generate("Hello", "BLINK")
    with pytest.raises(SamDataError, match="found a part of type 'video'"):
        model.generate([{"type": "video", "value": "a.mp4"}], "BLINK")


class Dataset:
    """A data set of VLMEvalKit with its two methods."""

    def __init__(self, images):
        self.images = images

    def dump_image(self, line):
        return self.images

    def build_prompt(self, line):
        return parts(*self.dump_image(line), line["question"])


def test_the_likeliest_choice_is_answered_by_its_letter(model_class, predictor, images):
    model = model_class(predictor, "likelihood", GREEDY)
    dataset = Dataset(images)
    model.set_dump_image(dataset.dump_image)
    assert model.use_custom_prompt("BLINK")
    seen = set()
    for question in ("Which?", "Say what it is."):
        texts = {"A": "a red chair", "C": "cat", "D": "the same dog as before"}
        message = model.build_prompt({"index": 3, "question": question, "B": NAN, "E": " ", **texts}, "BLINK")
        asked = read_question([("image", image) for image in images] + [("text", question)], "test")
        found = likelihoods(predictor, asked, list(texts.values()))
        wanted = max(zip(texts, found, strict=True), key=lambda pair: pair[1].total)[0]
        assert model.generate(message, "BLINK") == wanted
        seen.add(wanted)
    assert seen <= set(texts)


def test_only_multiple_choice_is_answered_by_likelihood(model_class, predictor):
    assert not model_class(predictor, "likelihood", {}).use_custom_prompt("MMVMBench")
    assert not model_class(predictor, "text", {}).use_custom_prompt("BLINK")


def test_a_row_without_choices_is_named(model_class, predictor, images):
    model = model_class(predictor, "likelihood", GREEDY)
    model.set_dump_image(Dataset(images).dump_image)
    with pytest.raises(SamDataError, match="BLINK, index 7: found 1 choices, wanted two or more"):
        model.build_prompt({"index": 7, "question": "Which?", "A": "this", "B": NAN}, "BLINK")
