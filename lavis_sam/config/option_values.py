"""What the text of an option means, once it is known what its setting wants.

A shell hands over text. Where a setting wants text, that is its value as it stands: `#`, `{`, `:` and leading zeros
mean nothing. Where it wants a number, the number is decimal. Only lists and mappings are YAML, or JSON.
"""

import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, ListConfig, OmegaConf

from lavis_sam.config.checks import ADDED
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.config.settings import Problems
from lavis_sam.errors import SamConfigurationError

_NOTHING = ("", "null", "~")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_OPENING: dict[Any, str] = {list: "[", dict: "{"}
_DEEPEST = 32
# What packaged configurations leave to an environment variable, to null or to the user, by the last part of the key.
_STORAGE = str | list[str] | None
_TEXTS = ("arch", "data_type", "model_type", "name", "prompt", "type")


class OptionText(str):
    """The value of an option as it was typed, not read yet."""


def read_options(options: Mapping[str, Any], defaults: DictConfig, nested: Mapping[str, type]) -> dict[str, Any]:
    """Read every option that is text still.

    Args:
        options: {dotted key: value}.
        defaults: The packaged configurations, which show of which type a value is.
        nested: Dotted key of a mapping -> the data class that says what it may hold.

    Raises:
        SamConfigurationError: See `read_option`; all of them.
    """
    read, problems = dict(options), Problems()
    for key, value in options.items():
        if isinstance(value, OptionText):
            try:
                read[key] = read_option(value, wanted_type(key, defaults, nested))
            except SamConfigurationError as error:
                problems.append(f"--options {key}: {error}")
    problems.raise_all()
    return read


def wanted_type(key: str, defaults: DictConfig, nested: Mapping[str, type]) -> Any:
    """Return the type of the value that a dotted key wants; see `read_options`."""
    above, _, last = key.rpartition(".")
    kind = {"run": RunSettings, **nested}.get(above)
    if kind is not None:
        return typing.get_type_hints(kind).get(last, Any)
    if last == "storage":
        return _STORAGE
    if key.startswith("datasets.") and (below := key.split(".", 2)[-1]) in ADDED:
        return ADDED[below]
    node = OmegaConf.select(defaults, above)
    known = isinstance(node, DictConfig) and last in node
    if last in _TEXTS or (known and OmegaConf.is_interpolation(node, last)):
        return str
    default = node[last] if known else None
    if isinstance(default, DictConfig | ListConfig):
        return dict if isinstance(default, DictConfig) else list
    return Any if default is None else type(default)


def read_option(text: str, wanted: Any) -> Any:
    """Return the value that a text has for a setting.

    Nothing, `null` and `~` are None. A text that is wholly in quotes is what YAML reads within them.

    Args:
        text: As it was typed.
        wanted: The setting's type, as `problem_with` takes it; `Any` where nothing is known about it.

    Returns:
        A value of that type, None, or the text, which the setting then refuses.

    Raises:
        SamConfigurationError: Nothing is known, and the text begins like a list or a mapping that YAML cannot read.
    """
    if text in _NOTHING:
        return None
    text = str(text)  # without its class
    if wanted is Any:
        return _read_unknown(text)
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    for kind in kinds:
        name, items = typing.get_origin(kind) or kind, typing.get_args(kind)
        if name in _OPENING:
            value = _collection(text, name, str if items == (str,) else _scalar)
        else:
            value = _READERS[name](text)
        if value is not text:
            return value
    return text if str in kinds else _scalar(text)


def whole_number(text: str) -> int | None:
    """Return the number that the digits 0 to 9 write; None for any other text ("-1", "²") and for endless digits."""
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else None


def _read_unknown(text: str) -> Any:
    """Return a list, a mapping, a number or a truth value if it looks like one, as YAML 1.2 has it; else a text."""
    kind = next((kind for kind, opening in _OPENING.items() if text.startswith(opening)), None)
    if kind is None:
        return _scalar(text) if text[0] not in "'\"" else _unquoted(text)
    value = _collection(text, kind)
    if value is text:
        name = "list" if kind is list else "mapping"
        raise SamConfigurationError(f"found {text!r}, which is no {name} in YAML; write a text in quotes.")
    return value


def _scalar(text: str) -> Any:
    if text.lower() in _NOTHING:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return _number(text) if "_" not in text else text


def _boolean(text: str) -> Any:
    return _BOOLEANS.get(text.lower(), text)


def _integer(text: str) -> Any:
    try:
        return int(text) if _INTEGER.fullmatch(text) else text
    except ValueError:  # more digits than Python converts
        return text


def _number(text: str) -> Any:
    if _INTEGER.fullmatch(text):
        return _integer(text)
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text


def _unquoted(text: str) -> str:
    """Return the text within the quotes that it stands in as a whole; otherwise the text."""
    node = _node(text) if text[0] in "'\"" else None
    return node.value if node is not None and node.style and node.end_mark.index == len(text) else text


def _collection(text: str, kind: type, scalar: Callable[[str], Any] = _scalar) -> Any:
    """Return the list or mapping that the text is in YAML's flow style; the text if it is none."""
    node = _node(text) if text.lstrip().startswith(_OPENING[kind]) else None
    try:
        # What follows the end would be a comment, and lost.
        return _plain(node, scalar) if node is not None and node.end_mark.index == len(text.rstrip()) else text
    except ValueError:
        return text


def _node(text: str) -> Any:
    """Compose a text's YAML; None if it is no YAML, too deep, or holds what would be lost (anchors, tags)."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            is_lost = (
                isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None)
            )
            if is_lost or depth > _DEEPEST:
                return None
        return yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return None


def _plain(node: Any, scalar: Callable[[str], Any]) -> Any:
    """Return the value of a node.

    Raises:
        ValueError: A key that occurs twice, or is no text.
    """
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.style else scalar(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, scalar) for item in node.value]
    mapping = {key.value: _plain(value, scalar) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    if len(mapping) != len(node.value):
        raise ValueError("a key occurs twice, or is no text")
    return mapping


_READERS: dict[Any, Callable[[str], Any]] = {
    bool: _boolean,
    int: _integer,
    float: _number,
    str: _unquoted,
    types.NoneType: lambda text: text,
}
