"""The one reader of settings: plain data, as YAML and options give it, into (nested, frozen) data classes.

A field says in its metadata what it is for and what it may be; see `setting`. All problems come in one message, each
with its place, the value found, the value wanted and the field's explanation, or the nearest known name.

pydantic was tried in its place (2.14, strict fields): it adds 0.26 s to every import and 0.05 s for `RunSettings`;
it says "Input should be greater than or equal to 0" and "Unexpected keyword argument" in three lines a problem, one of
them a link to its manual, without the explanation, the nearest name or the new place of a key that moved. Each would
have been written again from its error codes, which takes more lines than checking seven kinds of plain values does.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError

Settings = TypeVar("Settings")
# Reads the value of a class that plain data has several forms of: (value, place, problems) -> instance.
Reader = Callable[[Any, str, list[str]], Any]

_NAMES = {str: "a text", int: "an integer", float: "a finite number", bool: "true or false", type(None): "null"}


def setting(default: Any, text: str, **limits: Any) -> Any:
    """Declare a field.

    Args:
        default: Its default; a list or a dictionary is copied for each instance.
        text: What it is for; stands in messages.
        limits: `choices`, `minimum`, `maximum`; `above`, a minimum that is not reached; `key`, the name in YAML;
            `names` and `noun`, the keys that a mapping may have and what they are called.
    """
    metadata = {"help": text, **limits}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Problems(list[str]):
    """Messages, to be raised together."""

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep the message of a configuration error instead of passing it on."""
        try:
            yield
        except SamConfigurationError as error:
            self.append(str(error))

    def raise_all(self) -> None:
        """Raise a `SamConfigurationError` with every message, if there is one."""
        if self:
            raise SamConfigurationError("\n".join(self))


def read_settings(
    kind: type[Settings],
    values: Any,
    place: str,
    *,
    moved: Mapping[str, str] | None = None,
    readers: Mapping[Any, Reader] | None = None,
) -> Settings:
    """Return an instance of the data class `kind` with the given values; what is not given keeps its default.

    Args:
        kind: Its fields have plain types, or are such data classes, or mappings from a name to one of these.
        values: A mapping, plain or of OmegaConf.
        place: Where it stands, for messages, such as "run".
        moved: Key that is not a field any more -> what to do instead.
        readers: Class -> reader of its values, for those that are not read field by field.

    Raises:
        SamConfigurationError: Every unknown key, wrong type and value out of range, in one message.
    """
    problems = Problems()
    found = build_settings(kind, plain(values), place, problems, moved=moved, readers=readers)
    problems.raise_all()
    return typing.cast(Settings, found)


def build_settings(
    kind: Any,
    values: Any,
    place: str,
    problems: list[str],
    *,
    moved: Mapping[str, str] | None = None,
    readers: Mapping[Any, Reader] | None = None,
) -> Any:
    """Do as `read_settings`, from plain data, and append what is wrong to `problems`; None if that is all of it."""
    if not isinstance(values, Mapping):
        problems.append(f"{place}: found {values!r}, wanted a mapping.")
        return None
    fields = {entry.metadata.get("key", entry.name): entry for entry in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    built: dict[str, Any] = {}
    before = len(problems)
    for key, value in values.items():
        name = f"{place}.{key}" if place else str(key)
        if key in (moved or {}):
            problems.append(f"{name}: {(moved or {})[key]}.")
        elif key not in fields:
            problems.append(unknown_name("key", key, fields, place or "top level"))
        else:
            entry = fields[key]
            built[entry.name] = _read_value(value, hints[entry.name], entry.metadata, name, problems, readers or {})
    return kind(**built) if len(problems) == before else None


def _read_value(
    value: Any, hint: Any, limits: Mapping[str, Any], place: str, problems: list[str], readers: Mapping[Any, Reader]
) -> Any:
    if hint in readers:
        return readers[hint](value, place, problems)
    if dataclasses.is_dataclass(hint):
        return build_settings(hint, value, place, problems, readers=readers)
    if typing.get_origin(hint) in (dict, Mapping) and typing.get_args(hint)[1] is not Any:
        return _read_mapping(value, typing.get_args(hint)[1], limits, place, problems, readers)
    if wrong := problem_with(value, hint, limits):
        explanation = f" ({limits['help']})" if "help" in limits else ""
        problems.append(f"{place}: found {value!r}, {wrong}{explanation}.")
        return None
    return float(value) if hint is float else value


def _read_mapping(
    value: Any, hint: Any, limits: Mapping[str, Any], place: str, problems: list[str], readers: Mapping[Any, Reader]
) -> dict[str, Any]:
    """Read a mapping from names to values of one type; for a data class null takes its defaults."""
    if not isinstance(value, Mapping):
        problems.append(f"{place}: found {value!r}, wanted a mapping.")
        return {}
    inner = {name: limit for name, limit in limits.items() if name in ("choices", "minimum", "maximum", "above")}
    built = {}
    for key, item in value.items():
        if "names" in limits and key not in limits["names"]:
            problems.append(unknown_name(limits.get("noun", "key"), key, limits["names"], place))
        else:
            whole = {} if item is None and dataclasses.is_dataclass(hint) else item
            built[key] = _read_value(whole, hint, inner, f"{place}.{key}", problems, readers)
    return built


def problem_with(value: Any, hint: Any, limits: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a plain value, as "wanted …"; None when nothing is.

    An integer is a number, a truth value is neither, and no number is NaN or infinite: no limit would catch those.

    Args:
        value: Plain data.
        hint: The setting's type: str, int, float, bool, a list of texts, a mapping, or a union of these and None.
        limits: The field's metadata; see `setting`.
    """
    wanted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if not any(_is_a(value, kind) for kind in wanted):
        return "wanted " + " or ".join(_name(kind) for kind in wanted)
    if "choices" in limits and value not in limits["choices"]:
        return f"wanted one of {', '.join('null' if one is None else one for one in limits['choices'])}"
    if value is None:
        return None
    if "minimum" in limits and value < limits["minimum"]:
        return f"wanted at least {limits['minimum']}"
    if "above" in limits and value <= limits["above"]:
        return f"wanted more than {limits['above']}"
    if "maximum" in limits and value > limits["maximum"]:
        return f"wanted at most {limits['maximum']}"
    return None


def _is_a(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(kind) is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, typing.get_origin(kind) or kind)


def _name(kind: Any) -> str:
    return _NAMES.get(kind, "a list of texts" if typing.get_origin(kind) is list else "a mapping")


def plain(value: Any) -> Any:
    """Return lists and dictionaries for OmegaConf's nodes."""
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in value}
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value
