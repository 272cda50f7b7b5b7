"""What the model writes: in a batch as alone, in pieces as in one; cut before stop texts."""

import pytest
import torch

from helpers.endpoint_fixtures import image
from lavis_sam.errors import SamDataError
from lavis_sam.models.decoding import Decoding
from lavis_sam.serving.answers import answer, prepare, stream

GREEDY = Decoding(num_beams=1, max_length=9)


def images(*seeds):
    return [image(seed) for seed in seeds]


def written(pieces):
    """The pieces of a stream, and its answer."""
    found = []
    while True:
        try:
            found.append(next(pieces))
        except StopIteration as end:
            return found, end.value


@pytest.mark.parametrize("decoding", [GREEDY, Decoding(num_beams=3, num_captions=2, max_length=9)])
def test_answers_of_a_batch_are_those_of_each_alone(model, predictor, decoding):
    asked = [prepare(model, images(*seeds), "What?" * len(seeds), decoding) for seeds in ((1,), (2, 3, 4), (5, 6))]
    together = answer(model, asked)
    assert together == [answer(model, [one])[0] for one in asked]
    settings = {"num_beams": decoding.num_beams, "num_captions": decoding.num_captions, "max_length": 9}
    wanted = predictor.caption(
        [images(1), images(2, 3, 4), images(5, 6)], ["What?", "What?" * 3, "What?" * 2], **settings
    )
    assert [[one.text for one in each] for each in together] == [[w] if isinstance(w, str) else w for w in wanted]


def test_answers_count_tokens_and_say_why_they_ended(model):
    asked = prepare(model, images(1), "What?", Decoding(num_beams=1, max_length=4, min_length=4))
    ((found,),) = answer(model, [asked])
    assert (found.finish_reason, found.tokens) == ("length", 3)
    assert asked.prompt_tokens > model.query_tokens.shape[1]


def test_answers_use_the_models_own_prompt_for_an_empty_one(model):
    assert prepare(model, images(1), "", GREEDY).prompt == model.prompt


def test_answers_refuse_what_the_language_model_cannot_read(model):
    with pytest.raises(SamDataError, match="reads at most"):
        prepare(model, images(1), "word " * 5000, GREEDY)


def test_answers_streams_in_turns_are_those_of_each_alone(model):
    decoding = Decoding(num_beams=1, max_length=9, use_nucleus_sampling=True)
    asked = [prepare(model, images(seed), "What?", decoding, seed=seed) for seed in (1, 2)]
    alone = [answer(model, [one])[0][0] for one in asked]
    state = torch.get_rng_state()
    open_streams, texts, ends = [stream(model, one) for one in asked], ["", ""], [None, None]
    while None in ends:
        for place, pieces in enumerate(open_streams):
            try:
                texts[place] += next(pieces)
            except StopIteration as end:
                ends[place] = ends[place] or end.value
    assert ends == alone
    assert texts == [one.text for one in alone]
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("length", [1, 4])
def test_answers_stop_before_a_text_whole_and_streamed(model, length):
    asked = prepare(model, images(1), "What?", Decoding(num_beams=1, max_length=7))
    ((whole,),) = answer(model, [asked])
    for start in (0, len(whole.text) // 2, len(whole.text) - length):
        stop = whole.text[start : start + length]
        cut = prepare(model, images(1), "What?", asked.decoding, stops=("never there", stop))
        ((found,),) = answer(model, [cut])
        pieces, end = written(stream(model, cut))
        assert found.text == "".join(pieces) == end.text == whole.text[: whole.text.index(stop)]
        assert found.finish_reason == end.finish_reason == "stop"


def test_answers_a_stop_text_that_never_comes_holds_nothing_back(model):
    asked = prepare(model, images(1), "What?", GREEDY)
    ((whole,),) = answer(model, [asked])
    cut = prepare(model, images(1), "What?", GREEDY, stops=(whole.text[-1] + "?",))
    pieces, end = written(stream(model, cut))
    assert "".join(pieces) == whole.text
    assert end == whole
