import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.scoring import plain_normalise
from lavis_sam.metrics.sam_text import normalise

# Dense in what the normalisation looks at, so that short examples meet its cases.
TROUBLE = st.text(st.sampled_from(list("aB1٣ .,;/[]\"{}()=+\\_-<>@`?!'\n\t\r")), max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog, a cat.", "a dog a cat"),
        ("snow-covered", "snow covered"),
        ("snow-covered - twice-seen", "snowcovered  twiceseen"),  # one dash with a space: all of them go
        ("He said-it, 10,000 times", "he saidit 10000 times"),  # a digit, a comma and a digit: every mark goes
        ("a/b", "a b"),
        ("3.5 and .5 but 5.", "3.5 and .5 but 5"),
        ("one.two", "onetwo"),
        ("line\nand\ttab", "line and tab"),
        ("'\"quoted\"'", "quoted"),
        ("'tis 'it'", "tis 'it"),
        ("", ""),
        (" .,;!? ", ""),
    ],
)
def test_examples(text, expected):
    assert normalise(text) == expected


def test_only_the_first_32_periods_go():
    assert normalise("a." * 32 + "b.") == "a" * 32 + "b."
    assert normalise("." * 40) == "." * 8


def test_marks_are_judged_in_the_text_before_any_of_them_goes():
    # Once the comma has gone the bracket would touch a space; it is judged while the comma stands between them.
    assert normalise("a(, b") == "a  b"
    assert normalise("a( b") == "a b"


@given(TROUBLE)
def test_equals_the_slow_way(text):
    assert normalise(text) == plain_normalise(text)


@given(st.text())
def test_no_text_crashes_it(text):
    assert isinstance(normalise(text), str)
