"""Values from files as literal text: what stands in a stranger's file must not be read as OmegaConf's own language.

`${oc.env:KEY}` in a text would read the environment as soon as the text becomes part of a configuration.
"""

import re
from collections.abc import Mapping
from typing import Any

from lavis_sam.errors import SamCheckpointError, SamError

_MISSING = "???"
_MOST_LEVELS = 16


def literal(value: Any, place: str, *, error: type[SamError] = SamCheckpointError, _level: int = 0) -> Any:
    r"""Escape plain data from a file, so that OmegaConf gives back exactly what the file says.

    Args:
        value: Text, numbers, booleans, None, and dictionaries (with text as keys) and lists of these.
        place: The file and key, for messages.

    Returns:
        The same with `\${` for `${`, which is what OmegaConf resolves to `${`.

    Raises:
        SamError: Of the class `error`: something else is in it, it is nested too deeply, or a text is `???`, which no
            configuration can hold, or no Unicode.
    """
    if _level > _MOST_LEVELS:
        raise error(f"{place}: is nested more deeply than {_MOST_LEVELS} levels. Make the file again.")
    if isinstance(value, Mapping):
        strange = [key for key in value if not isinstance(key, str)]
        if strange:
            raise error(f"{place}: has a key of the type {type(strange[0]).__name__}, a text is wanted.")
        return {
            key: literal(entry, f"{place}.{key:.100}", error=error, _level=_level + 1) for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [literal(entry, place, error=error, _level=_level + 1) for entry in value]
    if isinstance(value, str):
        if value == _MISSING or any("\ud800" <= character <= "\udfff" for character in value):
            raise error(f"{place}: is {value!r:.100}, which is no text that a configuration can hold. Write another.")
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):
        return value
    raise error(f"{place}: is a {type(value).__name__}; text, a number of 64 bits, a list or a dictionary is wanted.")
