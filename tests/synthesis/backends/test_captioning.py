"""InstructBLIP as a describer: transformers' with tiny random weights in its real layout, and ours."""

import numpy as np
import pytest

from helpers.synthesis import FakeShapes
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.backends.captioning import PROMPT, InstructBlipDescriber, noun_phrase
from lavis_sam.synthesis.protocols import DescribeRequest, SampleRequest


def request(slot=0):
    obj = FakeShapes().draw(SampleRequest(np.random.default_rng(slot), 2))
    return DescribeRequest(np.random.default_rng(slot), obj, obj.views)


@pytest.mark.parametrize(
    ("caption", "phrase"),
    [
        ("a woman in a blue dress", "a woman in a blue dress"),
        ("  A man wearing\n a hat. He smiles. ", "a man wearing"),
        ("The image features a green velvet chair.", "a green velvet chair"),
        ("An image of a sofa, in a room!", "a sofa, in a room"),
        ("There is a café table", "a café table"),
        ("Apple pie on a table.", "Apple pie on a table"),
    ],
)
def test_caption_becomes_a_noun_phrase(caption, phrase):
    assert noun_phrase(caption) == phrase


@pytest.mark.parametrize("caption", ["", " \n ", "...", "The image shows ", "穿蓝色连衣裙的女人", "женщина в платье"])
def test_caption_that_is_empty_or_in_another_script_is_an_error(caption):
    found = noun_phrase(caption)
    assert isinstance(found, SamDataError)
    assert "wanted a description in English" in str(found)


def test_describer_asks_transformers_instructblip_about_the_first_view(model_folder):
    from PIL import Image

    from lavis_sam.baselines.transformers_folder import load_model
    from lavis_sam.datasets.sample import MultiImageSample
    from lavis_sam.evaluation.model import EvaluationSample
    from lavis_sam.models.decoding import Decoding

    folder = model_folder("instructblip")
    made = InstructBlipDescriber(folder, device="cpu", num_beams=1, max_length=8)
    wanted = load_model(folder, device="cpu", decoding=Decoding(num_beams=1, max_length=8))
    captions = []
    for slot in range(2):
        image = Image.fromarray(request(slot).views[0].image)
        sample = MultiImageSample(0, ("image",), PROMPT, "", (), "test")
        captions += wanted.answer([EvaluationSample(sample, (image,))])
    assert [str(answer) for answer in made.describe([request(0), request(1)])] == [
        str(noun_phrase(c)) for c in captions
    ]


def test_describer_depends_on_its_request_alone(model_folder):
    options = {"device": "cpu", "num_beams": 2, "max_length": 8}
    alone = InstructBlipDescriber(model_folder("instructblip"), **options).describe([request(1)])
    both = InstructBlipDescriber(model_folder("instructblip"), **options).describe([request(0), request(1)])
    assert str(both[1]) == str(alone[0])


def test_describer_takes_our_own_model_by_its_type():
    from lavis_sam.predictor import SamPredictor

    made = InstructBlipDescriber("tiny", device="cpu", num_beams=1, max_length=12)
    answers = made.describe([request(0), request(1)])
    predictor = SamPredictor.from_pretrained("tiny", device="cpu", precision="fp32")
    images = [request(slot).views[0].image for slot in range(2)]
    captions = [predictor.caption(image, PROMPT, num_beams=1, max_length=12) for image in images]
    assert [str(answer) for answer in answers] == [str(noun_phrase(caption)) for caption in captions]


@pytest.mark.parametrize("options", [{"prompt": " "}, {"num_beams": 0}, {"max_length": 1}])
def test_describer_options_out_of_range(options, model_folder):
    with pytest.raises(SamConfigurationError, match=r"stages\.describe: found prompt"):
        InstructBlipDescriber(model_folder("instructblip"), **options)


def test_describer_without_a_model_says_what_to_bring(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"stages\.describe\.model: .* is neither a folder"):
        InstructBlipDescriber(str(tmp_path / "nowhere"))
