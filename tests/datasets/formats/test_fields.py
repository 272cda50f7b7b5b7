"""Fields of foreign records have the promised types, or an error says what was found."""

import pytest

from lavis_sam.datasets.formats import fields


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (fields.text, " a b\n", "a b"),
        (fields.texts, [" a", "b "], ["a", "b"]),
        (fields.items, [1, "x"], [1, "x"]),
        (fields.identity, 7, "7"),
        (fields.identity, " x ", "x"),
        (fields.number, " 12 ", 12),
        (fields.number, -1, -1),
    ],
)
def test_fields_of_the_promised_type(read, value, expected):
    assert read({"key": value}, "key") == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (fields.text, 1),
        (fields.text, None),
        (fields.texts, ["a", 1]),
        (fields.texts, "a"),
        (fields.items, {}),
        (fields.identity, True),
        (fields.identity, " "),
        (fields.number, True),
        (fields.number, 1.0),
        (fields.number, "٣"),
        (fields.number, "1" * 10),
    ],
)
def test_fields_of_another_type_say_what_was_found(read, value):
    with pytest.raises(fields.RecordError) as caught:
        read({"key": value}, "key")
    ((_, message),) = caught.value.problems
    assert message.startswith(f"key: found {value!r}, wanted ")
