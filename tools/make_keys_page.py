"""Write docs/keys.md: every key of a run, from the settings classes and the comments of the packaged YAML files.

python tools/make_keys_page.py
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.experiments.sweep_file import Row as SweepRow
from lavis_sam.experiments.sweep_file import _Written as SweepFile
from lavis_sam.files import write_text
from lavis_sam.synthesis.configuration import ImageSettings, SynthesisSettings, WorkSettings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "keys.md"
CONFIGS = ROOT / "lavis_sam" / "configs"
MODELS = [CONFIGS / "models" / f"blip2_vicuna_sam_{name}.yaml" for name in ("vicuna7b", "custom", "tiny")]
# `own` first: what is said of a key by several files is taken from the first.
DATASETS = [
    CONFIGS / "datasets" / name
    for name in (
        "own/defaults.yaml",
        "own/defaults_shards.yaml",
        "own/defaults_webdataset.yaml",
        "birds_to_words/defaults.yaml",
    )
]
TYPES = {str: "text", int: "integer", float: "number", bool: "true or false"}
# (key, default, values, what it is)
Line = tuple[str, str, str, str]


def main() -> None:
    """Write the page."""
    write_text(PAGE, page())


def page() -> str:
    """Return the page."""
    parts = [
        "# Every key of a run",
        "Made by `tools/make_keys_page.py` from the settings classes and the comments of the packaged YAML files: "
        "change those. A run's file has the sections `model`, `datasets` and `run`; any key may also be given after "
        "`--options`, as in [training](training.md). `lavis-sam config` prints the value of each in a run, and where "
        "it comes from; a key that is not here is an error that names the nearest one.",
        "## run",
        *_run_parts(),
        "`decoding` takes the attributes of [`Decoding`](api.md).",
        "## model",
        "Values are those of `vicuna7b`, or for keys that it lacks those of `custom`. "
        "[README](../README.md#the-real-model) says where weights come from, "
        "[ARCHITECTURE](../lavis_sam/ARCHITECTURE.md#the-mathematics) what the switches of `guidance` are.",
        _table(_model_lines()),
        "## datasets",
        "Below the name of each data set. `sample_ratio`, beside `type`, is its share where several data sets train "
        "together; [data](data.md) says more. A key that only some data sets or types have can be given to the others "
        "that understand it.",
        _table(_dataset_lines()),
        "## The synthesis",
        "Keys of a file for `lavis-sam synthesize --config`; [MmLINK](synthesis/README.md) says more, and kinds, "
        "stages, options of backends and thresholds are in `lavis_sam/configs/synthesis/mmlink.yaml`.",
        _table(
            [
                *_class_lines(SynthesisSettings),
                *_class_lines(ImageSettings, "pictures."),
                *_class_lines(WorkSettings, "run."),
            ]
        ),
        "## A sweep",
        "Keys of a file for `lavis-sam sweep`; [tables](tables.md#tables-of-runs) says more.",
        _table([*_class_lines(SweepFile), *_class_lines(SweepRow, "rows.NAME.")]),
    ]
    return "\n\n".join(parts) + "\n"


def _run_parts() -> Iterator[str]:
    """A heading and a table for each group of fields, as the comments in the class divide them."""
    lines, group = {line[0]: line for line in _class_lines(RunSettings)}, []
    for source in inspect.getsource(RunSettings).splitlines():
        heading, field = re.match(r" {4}# (.+)", source), re.match(r" {4}(\w+): .*= setting\(", source)
        if heading:
            if group:
                yield _table(group)
            group = []
            yield f"### {heading[1]}"
        elif field:
            group.append(lines[field[1]])
    yield _table(group)


def _class_lines(kind: type, above: str = "") -> list[Line]:
    """A line for every field of a settings class that says what it is for."""
    hints, found = typing.get_type_hints(kind), []
    for field in dataclasses.fields(kind):
        if "help" in field.metadata and not dataclasses.is_dataclass(hints[field.name]):
            default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
            key = above + field.metadata.get("key", field.name)
            found.append((key, _shown(default), _values(hints[field.name], field.metadata), field.metadata["help"]))
    return found


def _values(hint: Any, limits: Any) -> str:
    if "choices" in limits:
        return ", ".join(f"`{'null' if choice is None else choice}`" for choice in limits["choices"])
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    names = [_kind(kind) for kind in kinds if kind is not type(None)]
    bounds = [f"{word} {limits[key]}" for key, word in BOUNDS.items() if key in limits]
    return " or ".join(names) + (f", {' and '.join(bounds)}" if bounds else "")


BOUNDS = {"minimum": "at least", "above": "more than", "maximum": "at most"}


def _kind(kind: Any) -> str:
    outer = typing.get_origin(kind) or kind
    is_list = isinstance(outer, type) and issubclass(outer, list | tuple)
    return TYPES.get(outer, "list" if is_list else "mapping")


def _shown(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).removesuffix("...\n").strip()
    return f"`{text}`" if len(text) < 90 else "see the file"


def _model_lines() -> list[Line]:
    return _yaml_lines(MODELS, ("model",))


def _dataset_lines() -> list[Line]:
    return _yaml_lines(DATASETS, ("datasets", "*"))


def _yaml_lines(paths: Sequence[Path], section: Sequence[str]) -> list[Line]:
    """A line for every key below a section of some files; each file adds what those before it do not have.

    Raises:
        ValueError: A key that no file explains.
    """
    found: dict[str, Line] = {}
    for path in paths:
        for key, value, comment in _commented(path, section):
            if not any(f"{key}.".startswith(f"{known}.") for known in found):
                found[key] = (key, _shown(value), "", comment)
    silent = [key for key, *_, comment in found.values() if not comment]
    if silent:
        raise ValueError(f"{paths[0]}: no comment says what these keys are for: {', '.join(silent)}")
    return list(found.values())


def _commented(path: Path, section: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """(dotted key, value, comment above it and behind it) of every key below a section.

    A block of keys is one key where a comment stands behind its name, and else each of its keys.
    """
    text = path.read_text(encoding="utf-8")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in section:
        pairs = {key.value: value for key, value in node.value}
        node = next(iter(pairs.values())) if part == "*" else pairs[part]
    yield from _below(node, text.splitlines(), "")


def _below(node: Any, lines: Sequence[str], above: str) -> Iterator[tuple[str, Any, str]]:
    for key, value in node.value:
        dotted = f"{above}{key.value}"
        is_block = isinstance(value, yaml.MappingNode) and not value.flow_style
        behind = _comment_behind(lines[key.start_mark.line if is_block else value.end_mark.line])
        if is_block and not behind:
            yield from _below(value, lines, f"{dotted}.")
        else:
            comment = f"{_comment_above(lines, key.start_mark.line)} {behind}"
            yield dotted, yaml.SafeLoader("").construct_object(value, deep=True), comment.strip()


def _comment_above(lines: Sequence[str], number: int) -> str:
    words: list[str] = []
    while number and (found := re.fullmatch(r" +# ?(.*)", lines[number - 1])):
        words.insert(0, found[1].strip())
        number -= 1
    return " ".join(words)


def _comment_behind(line: str) -> str:
    found = re.search(r"(?:^|\s)#\s(.+)$", line)
    return found[1].strip() if found and not line.lstrip().startswith("#") else ""


def _table(lines: Sequence[Line]) -> str:
    has_values = any(values for _, _, values, _ in lines)
    head = "| key | default | values | |" if has_values else "| key | default | |"
    rows = [head, "|" + "---|" * head.count(" | ") + "---|"]
    for key, default, values, text in lines:
        cells = [f"`{key}`", default, *([values] if has_values else []), text]
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;' if '`' not in cell else '/') for cell in cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
