"""Typed access to records that somebody else wrote; what is not as promised is a `RecordError`."""

from collections.abc import Mapping
from typing import Any

from lavis_sam.datasets.problems import shown


class RecordError(Exception):
    """One record is not what its release promises; it is dropped, and the report says why.

    Attributes:
        problems: (kind, message) of everything that is wrong.
    """

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(problems)
        self.problems = problems


def wrong_type(key: str, found: object, wanted: str) -> RecordError:
    """Return the error for a field of the wrong type."""
    return RecordError(("wrong type", f"{key}: found {shown(found)}, wanted {wanted}"))


def mapping(value: Any, key: str = "record") -> Mapping[str, Any]:
    """Return `value`, which must be an object.

    Raises:
        RecordError: It is something else.
    """
    if not isinstance(value, dict):
        raise wrong_type(key, value, "an object")
    return value


def given(record: Mapping[str, Any], *keys: str) -> Any:
    """Return the value of the first key that has one; `null`, which tables write for nothing, is none."""
    return next((record[key] for key in keys if record.get(key) is not None), None)


def items(record: Mapping[str, Any], key: str) -> list[Any]:
    """Return `record[key]`, which must be a list.

    Raises:
        RecordError: It is something else.
    """
    value = record.get(key)
    if not isinstance(value, list):
        raise wrong_type(key, value, "a list")
    return value


def text(record: Mapping[str, Any], key: str) -> str:
    """Return `record[key]`, which must be a text, without the white space around it.

    Raises:
        RecordError: It is something else.
    """
    value = record.get(key)
    if not isinstance(value, str):
        raise wrong_type(key, value, "a text")
    return value.strip()


def texts(record: Mapping[Any, Any], key: Any) -> list[str]:
    """Return `record[key]`, which must be a list of texts, each without the white space around it.

    Raises:
        RecordError: It is something else.
    """
    value = record.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong_type(key, value, "a list of texts")
    return [item.strip() for item in value]


def identity(record: Mapping[str, Any], key: str) -> str:
    """Return `record[key]` as a name: releases write ids as integers in one file and as texts in another.

    Raises:
        RecordError: It is neither, or empty.
    """
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
        raise RecordError(("wrong id", f"{key}: found {shown(value)}, wanted an integer or a text"))
    return str(value).strip()


def number(record: Mapping[str, Any], key: str) -> int:
    """Return `record[key]` as an integer, which may be written as a text.

    Raises:
        RecordError: It is something else.
    """
    value = record.get(key)
    # Nine digits are more than any order or index; Python itself refuses texts of thousands.
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) <= 9:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(key, value, "an integer")
    return value
