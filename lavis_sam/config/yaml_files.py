"""Reading a YAML file that a person wrote, without numbers that mean something else than they say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lavis_sam.errors import SamConfigurationError

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# YAML 1.1, which LAVIS reads, takes the first for octal and the second for minutes and seconds; YAML 1.2 does not.
_MISREAD = re.compile(r"[-+]?0[0-7_]+|.*:.*")


def read_yaml(path: Path, place: str) -> DictConfig | ListConfig:
    """Return what a file holds.

    Args:
        place: The option or key that names it, for messages.

    Raises:
        SamConfigurationError: It cannot be read, is no YAML, or holds a number such as 042 (34 in YAML 1.1) or 1:30
            (90), which is named with its line.
    """
    try:
        config = OmegaConf.load(path)
        misread = list(_misread_numbers(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)))
    except OSError as error:
        raise SamConfigurationError(
            f"{place}: {path} cannot be read ({error.strerror or error}). Check the path."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise SamConfigurationError(f"{place}: {path} is no YAML ({yaml_problem(error)}).") from error
    except RecursionError as error:
        raise SamConfigurationError(f"{place}: {path} is nested too deeply.") from error
    if misread:
        raise SamConfigurationError("\n".join(f"{place}: {path}, {problem}" for problem in misread))
    return config


def yaml_problem(error: Exception) -> str:
    """Return what a YAML reader found wrong, on one line, with the place in the file where it knows it."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    text = " ".join((problem or str(error)).split())
    if mark is None:
        return text
    return f"{text} in line {mark.line + 1}, column {mark.column + 1}; correct it there or in the line before"


def _misread_numbers(root: Any) -> Iterator[str]:
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting += (part for key, value in reversed(node.value) for part in (value, key))
        elif node.tag in _NUMBERS and not node.style and _MISREAD.fullmatch(node.value):
            value = yaml.safe_load(node.value)
            if ":" in node.value or int(node.value.replace("_", "")) != value:
                yield (
                    f"line {node.start_mark.line + 1}: found {node.value}, which YAML 1.1 reads as {value}; "
                    f'write the decimal number, or "{node.value}" for a text.'
                )
