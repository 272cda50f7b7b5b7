"""The predictor: images in any shape in, the model's own answers out, one clear error for everything else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.models import small_model
from lavis_sam import SamPredictor
from lavis_sam.datasets.images import image_tensor
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.memory import is_out_of_memory
from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE, CUP = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose", "coffee_cup"))
QUESTION = "What do both images show?"
GREEDY = {"num_beams": 1, "max_length": 12}


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor(small_model(), batch_size=2)


def direct(predictor, paths, prompt=QUESTION, **decoding):
    """What the model itself says to one sample."""
    tensors = [image_tensor(Image.open(path).convert("RGB"), predictor.image_size) for path in paths]
    batch = torch.stack(tensors, dim=1)[None]
    return predictor.model.generate({"image": batch, "prompt": prompt}, **decoding)[0]


def test_one_sample_gives_the_models_answer(predictor):
    assert predictor.caption([CAT, NOSE], QUESTION, **GREEDY) == direct(predictor, [CAT, NOSE], **GREEDY)


def test_the_defaults_are_the_published_decoding(predictor):
    decoding = {"num_beams": 5, "max_length": 20, "min_length": 1, "repetition_penalty": 1.5, "length_penalty": 1.0}
    assert predictor.caption([CAT], QUESTION, max_length=20) == direct(predictor, [CAT], **decoding)


def test_many_ragged_samples_give_what_each_alone_gives(predictor):
    samples = [[CAT, NOSE], [CUP], [NOSE, CUP, CAT]]
    found = predictor.caption(samples, QUESTION, **GREEDY)
    assert found == [direct(predictor, sample, **GREEDY) for sample in samples]
    assert len(set(found)) > 1
    prompts = ["One?", "Two?", "Three?"]
    assert predictor.caption(samples, prompts, **GREEDY) == [
        direct(predictor, sample, prompt, **GREEDY) for sample, prompt in zip(samples, prompts, strict=True)
    ]
    assert predictor.caption([[CAT]], QUESTION, **GREEDY) == [direct(predictor, [CAT], **GREEDY)]


def test_paths_images_and_arrays_are_the_same(predictor):
    image = Image.open(CAT).convert("RGB")
    array = np.array(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    wanted = predictor.caption(CAT, QUESTION, **GREEDY)
    for one in (Path(CAT), image, array, tensor, array.astype(np.float32) / 255):
        assert predictor.caption(one, QUESTION, **GREEDY) == wanted
        assert predictor.caption([one], QUESTION, **GREEDY) == wanted


def test_several_answers_for_a_sample(predictor):
    one = predictor.caption([CAT], QUESTION, num_beams=3, num_captions=2, max_length=8)
    assert len(one) == 2
    many = predictor.caption([[CAT], [NOSE]], QUESTION, num_beams=3, num_captions=2, max_length=8)
    assert [len(answers) for answers in many] == [2, 2]
    assert many[0] == one


def test_streamed_pieces_join_to_the_caption(predictor):
    pieces = list(predictor.stream([CAT, NOSE], QUESTION, max_length=40))
    assert len(pieces) > 3
    assert "".join(pieces) == predictor.caption([CAT, NOSE], QUESTION, num_beams=1, max_length=40)


def test_sampled_streams_are_sampled_captions(predictor):
    decoding = {"use_nucleus_sampling": True, "num_beams": 1, "max_length": 30, "temperature": 0.7}
    torch.manual_seed(3)
    wanted = predictor.caption([CAT], QUESTION, **decoding)
    torch.manual_seed(3)
    assert "".join(predictor.stream([CAT], QUESTION, **decoding)) == wanted


def test_a_stream_may_be_left(predictor):
    stream = predictor.stream([CAT], QUESTION)
    next(stream)
    stream.close()
    assert torch.is_grad_enabled()


def test_the_stream_leaves_gradients_as_they_were(predictor):
    for _ in predictor.stream([CAT], QUESTION, max_length=8):
        assert torch.is_grad_enabled()


def test_explain_gives_arrays_images_and_files(predictor, tmp_path):
    explained = predictor.explain([CAT, NOSE, CUP], QUESTION)
    assert explained.measures.masked_change.shape == (3, 3)
    assert len(explained.images) == 3
    paths = explained.save(tmp_path / "out")
    assert Image.open(paths["overview"]).size == explained.draw().size
    with np.load(paths["arrays"]) as arrays:
        assert np.array_equal(arrays["gradient"], explained.measures.gradient)
    assert paths["numbers"].read_text().startswith("{")
    assert predictor.explain(CAT, QUESTION).measures.masked_change.tolist() == [[0]]


def test_whether_it_is_trained():
    assert SamPredictor(small_model()).is_trained
    assert not SamPredictor(small_model(zero=True)).is_trained
    assert not SamPredictor(small_model(extractor="none")).is_trained


def test_a_trained_bias_alone_is_trained():
    model = small_model(zero=True)
    torch.nn.init.ones_(model.w_former.linear_c.bias)
    assert SamPredictor(model).is_trained


def bad_file(tmp_path, content):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "0 images"),
        ([[CAT], []], "sample 1 has 0 images"),
        ([CAT, [NOSE]], "images beside lists of images"),
        ([[CAT], 3], "sample 1 is a int"),
        ({"a": CAT}, "images is a dict"),
        (None, "images is a NoneType"),
        (b"bytes", "sample 0, image 1 cannot be read as an image"),
        ([[CAT, 3]], "sample 0, image 2 is a int"),
        ("nowhere.jpg", "nowhere.jpg cannot be read as an image"),
        (np.zeros((2, 2, 5), np.uint8), "sample 0, image 1: found an array (2, 2, 5)"),
        (np.zeros((0, 2, 3), np.uint8), "found an array (0, 2, 3)"),
        (np.full((2, 2, 3), -1), "found integers from -1 to -1"),
        (np.full((2, 2, 3), 300.0), "found floats from 300 to 300"),
        (np.full((2, 2, 3), np.nan), "found floats from nan to nan"),
    ],
)
def test_images_that_are_none(predictor, images, words):
    with pytest.raises(SamDataError) as error:
        predictor.caption(images, QUESTION, **GREEDY)
    assert words in str(error.value)


@pytest.mark.parametrize("content", [b"", b"these are notes", b"GIF89a", Path(CAT).read_bytes()[:2000]])
def test_files_that_are_no_images(predictor, tmp_path, content):
    path = bad_file(tmp_path, content)
    with pytest.raises(SamDataError, match=r"sample 1, image 1: .*bad\.jpg cannot be read as an image"):
        predictor.caption([[CAT], [path]], QUESTION, **GREEDY)


def test_a_image_of_absurd_size(predictor, monkeypatch):
    monkeypatch.setattr("lavis_sam.datasets.images.MAX_PIXELS", 100)
    with pytest.raises(SamDataError, match="pixels, wanted at most 100"):
        predictor.caption([np.zeros((20, 20, 3), np.uint8)], QUESTION, **GREEDY)


def test_two_hundred_images_are_refused_before_one_is_opened(predictor):
    with pytest.raises(SamDataError) as error:
        predictor.caption([[CAT], ["nowhere.jpg"] * 200], QUESTION, **GREEDY)
    message = str(error.value)
    assert "sample 1 of the batch has 600 visual tokens (its images)" in message
    assert "reads at most 512 in all. Give it fewer images or a shorter text" in message
    for ask in (predictor.stream, predictor.explain):
        with pytest.raises(SamDataError, match="has 600 visual tokens"):
            ask(["nowhere.jpg"] * 200, QUESTION)


def test_a_prompt_of_ten_thousand_words(predictor):
    with pytest.raises(SamDataError, match=r"sample 0 of the batch has 3 visual tokens .* and \d{5} text tokens"):
        predictor.caption(["nowhere.jpg"], "word " * 10_000, **GREEDY)


def test_the_model_itself_refuses_what_it_cannot_read():
    model = small_model()
    model.max_txt_len = 50  # of what the Q-Former reads; the language model reads all
    image = torch.zeros(1, 3, 1, 28, 28)
    with pytest.raises(SamDataError, match="the language model reads at most 512 in all"):
        model.generate({"image": image, "prompt": "word " * 1000}, num_beams=1)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [(["a", "b"], "2 prompts for 1 samples"), ([3], "prompt is [3]"), (3, "prompt is 3")],
)
def test_prompts_that_do_not_fit(predictor, prompt, words):
    with pytest.raises(SamDataError) as error:
        predictor.caption([CAT], prompt, **GREEDY)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        ({"num_beam": 3}, "Did you mean 'num_beams'?"),
        ({"num_beams": 0}, "num_beams of generate is 0"),
        ({"output_scores": True}, "caption: unknown key 'output_scores'"),
    ],
)
def test_decoding_settings_that_do_not_exist(predictor, decoding, words):
    with pytest.raises(SamConfigurationError) as error:
        predictor.caption([CAT], QUESTION, **decoding)
    assert words in str(error.value)


def test_streams_of_several_beams_or_samples(predictor):
    with pytest.raises(SamConfigurationError, match="num_beams is 3"):
        predictor.stream([CAT], QUESTION, num_beams=3)
    with pytest.raises(SamDataError, match="stream takes the images of one sample, found 2"):
        predictor.stream([[CAT], [NOSE]], QUESTION)
    with pytest.raises(SamDataError, match="explain takes the images of one sample"):
        predictor.explain([[CAT], [NOSE]], QUESTION)


def test_an_impossible_batch_size():
    with pytest.raises(SamConfigurationError, match="batch_size is 0"):
        SamPredictor(small_model(), batch_size=0)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 12 bytes"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        MemoryError(),
    ],
)
def test_out_of_memory_names_the_samples_and_the_remedy(monkeypatch, error):
    predictor = SamPredictor(small_model(), batch_size=2)

    def explode(*args, **kwargs):
        raise error

    assert is_out_of_memory(error)
    monkeypatch.setattr(predictor.model, "generate", explode)
    with pytest.raises(SamConfigurationError) as caught:
        predictor.caption([[CAT], [CAT, NOSE, CUP], [CUP]], QUESTION)
    message = str(caught.value)
    assert "out of memory while working on samples 0 to 1, of which sample 1 has the most images, 3" in message
    assert "Use fewer images per sample, a smaller num_beams" in message
    assert "\n" not in message
    with pytest.raises(SamConfigurationError, match="working on sample 0 with 1 images"):
        predictor.caption([CAT], QUESTION)


def test_out_of_memory_in_explain_and_stream(monkeypatch):
    predictor = SamPredictor(small_model())

    def explode(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predictor.model, "visual_encoder", explode_module(explode, predictor))
    with pytest.raises(SamConfigurationError, match="out of memory while working on sample 0 with 2 images"):
        predictor.explain([CAT, NOSE], QUESTION)
    with pytest.raises(SamConfigurationError, match="out of memory while working on sample 0 with 2 images"):
        list(predictor.stream([CAT, NOSE], QUESTION))


def test_out_of_memory_while_images_become_a_batch(predictor, monkeypatch):
    def explode(*args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 36126720 bytes")

    monkeypatch.setattr("lavis_sam.predictor.sam_predictor.image_tensor", explode)
    for ask in (predictor.caption, predictor.stream, predictor.explain):
        with pytest.raises(SamConfigurationError, match="out of memory while working on sample 0 with 2 images"):
            ask([CAT, NOSE], QUESTION)


def explode_module(explode, predictor):
    class Encoder(torch.nn.Module):
        image_size = predictor.image_size

        def forward(self, images):
            return explode()

    return Encoder()


def test_other_errors_pass_as_they_are(monkeypatch):
    predictor = SamPredictor(small_model())

    def explode(*args, **kwargs):
        raise RuntimeError("something else")

    monkeypatch.setattr(predictor.model, "generate", explode)
    with pytest.raises(RuntimeError, match=r"^something else$"):
        predictor.caption([CAT], QUESTION)
