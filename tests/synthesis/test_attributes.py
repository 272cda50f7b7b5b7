"""Attributes from captions: what all views agree on, and nothing else."""

import pytest

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.attributes import agreed_attributes, caption_of_object, icon_name_of


@pytest.mark.parametrize(
    ("captions", "attributes"),
    [
        (
            ["a woman wearing a blue dress and white sandals", "a woman in a blue dress standing"],
            {"woman": "woman", "dress": "blue dress"},
        ),
        # Colours that differ are not taken from either.
        (["a man in a red shirt", "a man wearing a green shirt"], {"man": "man", "shirt": "shirt"}),
        # The same words of different things are no phrase.
        (
            ["a woman in a blue dress and a red hat", "a woman in a red dress and a blue hat"],
            {"woman": "woman", "blue": "blue", "dress": "dress", "red": "red", "hat": "hat"},
        ),
        (["a brown leather sofa", "the sofa is brown leather"], {"leather": "brown leather", "sofa": "sofa"}),
        (["a green chair"], {"chair": "green chair"}),
        (["A RED t-shirt", "a red T-shirt"], {"red": "red", "shirt": "shirt"}),
    ],
)
def test_captions_agree_on_what_all_of_them_say(captions, attributes):
    assert agreed_attributes(captions) == attributes


@pytest.mark.parametrize("captions", [["a woman", "two shoes"], ["standing in front of a wall"], ["a photo of the"]])
def test_captions_that_agree_on_nothing_are_refused(captions):
    with pytest.raises(SamDataError, match="agree on nothing"):
        agreed_attributes(captions)


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("a woman in a blue dress standing against a white wall", "a woman in a blue dress"),
        ("a red chair, isolated on a plain white background.", "a red chair"),
        ("a man in a\n black  suit", "a man in a black suit"),
        ("a dress with a white collar", "a dress with a white collar"),
    ],
)
def test_a_caption_ends_before_the_place(caption, text):
    assert caption_of_object(caption) == text


@pytest.mark.parametrize(
    ("caption", "why"),
    [("", "0 words"), ("word " * 61, "61 words"), ("женщина в платье", "English"), ("1 2", "English")],
)
def test_a_caption_that_says_nothing_is_refused(caption, why):
    with pytest.raises(SamDataError, match=why):
        caption_of_object(caption)


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("a red apple with a green leaf", "red apple"),
        ("a flat vector icon of a red apple on a white background", "red apple"),
        ("an icon with a clock", "clock"),
        ("a cartoon illustration of a smiling cat", "cat"),
        ("a rocket icon", "rocket"),
        ("shopping cart symbol", "shopping cart"),
        ("a road sign", "road sign"),
    ],
)
def test_an_icon_is_called_by_what_its_caption_names_first(caption, name):
    assert icon_name_of(caption) == name


@pytest.mark.parametrize("caption", ["an icon of the", ""])
def test_a_caption_that_names_no_icon_is_refused(caption):
    with pytest.raises(SamDataError):
        icon_name_of(caption)
