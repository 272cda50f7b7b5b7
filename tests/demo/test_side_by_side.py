"""What a page may send, and two answers at once that are what each is alone."""

from itertools import pairwise

import pytest

from helpers.serving import png, url_of
from helpers.trained_tiny import trained_tiny_model
from lavis_sam.demo.side_by_side import read_question, write_side_by_side
from lavis_sam.demo.switches import guided_by, off
from lavis_sam.errors import SamDataError
from lavis_sam.predictor import SamPredictor
from lavis_sam.serving.limits import Limits, RequestRefusedError

SENT = [{"name": f"{seed}.png", "url": url_of(png(seed))} for seed in range(2)]
LIMITS = Limits(images=3, bytes=50_000, characters=100, new_tokens=20)


def test_both_answers_are_the_predictors_and_grow_piece_by_piece():
    model = trained_tiny_model()  # whose layers say much, also about noise
    question = read_question(model, SENT, " What do both images show? ", 12, LIMITS)
    assert question.names == ("0.png", "1.png")
    assert [image.size for image in question.images] == [(40, 30)] * 2
    steps = list(write_side_by_side(model, question.asked, [model.guidance, off(model)]))
    settings = {"num_beams": 1, "max_length": 13}
    wanted = SamPredictor(model).caption([png(0), png(1)], "What do both images show?", **settings)
    with guided_by(model, off(model)):
        alone = SamPredictor(model).caption([png(0), png(1)], "What do both images show?", **settings)
    assert steps[-1] == (wanted, alone)
    assert wanted != alone
    assert len(steps) > 4
    assert steps[1] != steps[0]
    assert all(later[0].startswith(earlier[0]) for earlier, later in pairwise(steps))


@pytest.mark.parametrize(
    ("sent", "text", "tokens", "said"),
    [
        ([], "What?", 5, "There is no image yet"),
        ("no list", "What?", 5, "wanted a list of names"),
        ([{"name": "a"}], "What?", 5, "wanted a list of names"),
        ([{"name": "a", "url": 3}], "What?", 5, "wanted a list of names"),
        (SENT, None, 5, "wanted a text"),
        (SENT, "What?", 5.5, "wanted a text, and a whole number"),
        (SENT, "What?", True, "a whole number"),
        (SENT, "What?", 0, "at least 1"),
        (SENT, "What?", 21, "found 21 tokens of an answer, wanted at most 20"),
        (SENT, "x" * 101, 5, "found 101 characters"),
        (SENT * 2, "What?", 5, "found 4 images, wanted at most 3"),
        ([{"name": "a", "url": "data:image/png;base64," + "A" * 80_000}], "What?", 5, "bytes of images"),
        (
            [*SENT, {"name": "notes.txt", "url": url_of(b"no image")}],
            "What?",
            5,
            r"Image 3 \(notes.txt\): found no readable",
        ),
        ([{"name": "a", "url": "file:///etc/passwd"}], "What?", 5, "fetches no addresses"),
    ],
)
def test_what_a_page_may_not_send_is_refused_by_name(model, sent, text, tokens, said):
    with pytest.raises(RequestRefusedError, match=said):
        read_question(model, sent, text, tokens, LIMITS)


def test_a_question_that_the_language_model_could_not_read_is_refused(model):
    with pytest.raises(SamDataError, match="reads"):
        read_question(model, SENT, "word " * 3000, 5, Limits())
