"""The packaged examples are whole, small, and within the bounds of the page."""

import base64

from helpers.serving import decoded
from lavis_sam.demo.examples import FOLDER, load_examples
from lavis_sam.serving.limits import Limits


def test_examples_are_images_with_a_question_and_a_reference():
    examples = load_examples()
    assert [len(example.images) for example in examples] == [5, 2, 3]
    for example in examples:
        assert example.title
        assert example.question
        assert example.reference
        for image in example.images:
            kind, _, data = image["url"].partition(",")
            assert kind == "data:image/jpeg;base64"
            assert decoded(base64.b64decode(data)).size == (256, 256)
        assert len(example.images) <= Limits().images


def test_no_image_lies_there_unused():
    named = {image["name"] for example in load_examples() for image in example.images}
    assert {path.name for path in FOLDER.glob("*.jpg")} == named
