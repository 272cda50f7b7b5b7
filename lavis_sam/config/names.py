"""Names in a configuration that nothing is known by: one message for all of them."""

import difflib
from collections.abc import Iterable
from typing import Any


def unknown_name(kind: str, name: Any, known: Iterable[str], place: str) -> str:
    """Return the message for an unknown name: what was found, the nearest known name, all known names.

    Args:
        kind: What the name should have named.
        place: The configuration key or option that holds it.
    """
    valid = sorted(known)
    nearest = difflib.get_close_matches(str(name), valid, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{place}: unknown {kind} {name!r}.{hint} Valid: {', '.join(valid)}."
