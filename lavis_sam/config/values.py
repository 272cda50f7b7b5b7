"""Is a plain value, as a YAML file or an option gives it, what a setting wants?"""

import types
import typing
from collections.abc import Mapping
from typing import Any

_NAMES = {str: "a text", int: "an integer", float: "a finite number", bool: "true or false", type(None): "null"}


def problem_with(value: Any, hint: Any, limits: Mapping[str, Any]) -> str | None:
    """What is wrong with the value of a setting, as "wanted …".

    Args:
        value: Plain data.
        hint: The setting's type: str, int, float, bool, a list of texts, a mapping, or a union of these and None.
        limits: The field's metadata: `choices`, `minimum` and `maximum`, each where it applies.

    Returns:
        None when nothing is wrong. An integer is a number, a truth value is neither, and no number is NaN or infinite:
        no limit would catch those.
    """
    wanted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if not any(_is_a(value, kind) for kind in wanted):
        return "wanted " + " or ".join(_name(kind) for kind in wanted)
    if "choices" in limits and value not in limits["choices"]:
        return f"wanted one of {', '.join(limits['choices'])}"
    if value is not None and "minimum" in limits and value < limits["minimum"]:
        return f"wanted at least {limits['minimum']}"
    if value is not None and "maximum" in limits and value > limits["maximum"]:
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
