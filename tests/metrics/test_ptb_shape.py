"""The shape of a text is as long as the text, and its characters stand for classes."""

import pytest

from lavis_sam.metrics.ptb_shape import CAPITAL, DIGIT, MARK, NOTHING, SMALL, SYMBOL, shape_of


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("aZ9 -", "aZ9 -"),
        ("ßÄ", SMALL + CAPITAL),
        ("٣", DIGIT),
        ("e\u0301", "e" + MARK),
        ("\u00a7\u2190", SYMBOL * 2),
        ("\x01\U0001f600\u200b", NOTHING * 3),
        ("\u00a0\u3000\n", "   "),
        ("\u00ab\u00bb\u2014\u2019", "\u201c\u201c\u2013\u2019"),
    ],
)
def test_a_shape_has_one_representative_for_each_character(text, shape):
    assert shape_of(text) == shape
