"""From a YAML file and `--options` to the one resolved configuration of a run, checked whole; without LAVIS."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lavis_sam.config.checks import (
    keep_used_splits,
    missing_files,
    unknown_keys,
    unknown_option,
    wrong_additions,
    wrong_types,
)
from lavis_sam.config.names import unknown_name
from lavis_sam.config.option_values import OptionText, read_option, read_options
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.config.settings import Problems
from lavis_sam.config.yaml_files import read_yaml
from lavis_sam.errors import SamConfigurationError

_SECTIONS = ("model", "datasets", "run")
_PROCESSORS = ("vis_processor", "text_processor")
_KEY = re.compile(r"[^\s.=\[\]]+(\.[^\s.=\[\]]+)+")
# (where from, what it says)
Layer = tuple[str, DictConfig]


@dataclass(frozen=True)
class Registered:
    """What resolving has to know about the models and data sets that a configuration names.

    Attributes:
        packaged: (configuration, place, problems) -> the packaged layers that it chooses; what is unknown is appended
            to the problems.
        own_model: Whether the model of a configuration is ours.
        own_datasets: The names of a configuration's data sets that are ours.
        impossible: What cannot be built, of a resolved configuration.
        missing_weights: Which files of weights are not there.
        nested: Dotted key of a mapping below `run` -> the data class of what it may hold.
    """

    packaged: Callable[[DictConfig, str, Problems], list[Layer]]
    own_model: Callable[[DictConfig], bool]
    own_datasets: Callable[[DictConfig], list[str]]
    impossible: Callable[[DictConfig], list[str]]
    missing_weights: Callable[[DictConfig], list[str]]
    nested: Mapping[str, type]


def resolve(
    path: Path,
    options: Mapping[str, Any],
    registered: Registered,
    *,
    check_files: bool,
    datasets: Mapping[str, Any] | None = None,
) -> tuple[DictConfig, list[Layer]]:
    """Return the resolved configuration and its layers; see `plugin.run_config.SamConfig`.

    Args:
        options: {dotted key: value} above the file.
        registered: The models and data sets that can be named.
        check_files: Whether every file that the run will read has to be there.
        datasets: What takes the place of the file's data sets (`--data`), with the processors of the first of these.

    Raises:
        SamConfigurationError: An unreadable file, or all problems in one message.
    """
    files = _read_files(path)
    if datasets is not None:
        files = _with_datasets(files, datasets)
    try:
        return _resolve(files, options, registered, str(path), check_files=check_files)
    except OmegaConfBaseException as error:
        raise SamConfigurationError(f"{path}: {error}") from error


def origin(layers: Sequence[Layer], key: str) -> str:
    """Return where the value of a dotted key comes from: the last layer that says something about it."""
    for name, layer in reversed(layers):
        node: Any = layer
        for part in key.split("."):
            if not isinstance(node, DictConfig) or part not in node:
                break
            node = node._get_node(part)
        else:
            return name
    return "computed"


def parse_options(options: Sequence[str] | None) -> dict[str, OptionText]:
    """Parse `["run.init_lr=1e-4", …]`, or LAVIS's older `["run.init_lr", "1e-4", …]`, to {dotted key: its text}.

    What a text means depends on the setting; see `read_options`.

    Raises:
        SamConfigurationError: The two forms are mixed, a value is missing, a key is malformed or given twice.
    """
    words = list(options or ())
    forms = "wanted `a.b=value c.d=value …` (or, all of them, `a.b value c.d value …`)"
    if words and "=" not in words[0]:
        if len(words) % 2 or any("=" in key for key in words[0::2]):
            raise SamConfigurationError(f"--options: found {' '.join(words)!r}, {forms}.")
        words = [f"{key}={value}" for key, value in zip(words[0::2], words[1::2], strict=True)]
    parsed: dict[str, OptionText] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not _KEY.fullmatch(key) or not _is_unicode(text):
            raise SamConfigurationError(f"--options: found {word!r}, {forms}; keys start with {', '.join(_SECTIONS)}.")
        if key in parsed:
            raise SamConfigurationError(f"--options: {key} is given twice; give it once.")
        parsed[key] = OptionText(text)
    return parsed


def _is_unicode(text: str) -> bool:
    """Return whether the text is whole characters; bytes that are none reach Python as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _read_files(path: Path, place: str = "--cfg-path") -> list[Layer]:
    """Return the file as a layer, above that of the file beside it that its key `base` names, if it has one."""
    written = read_yaml(path, place)
    if not isinstance(written, DictConfig):
        raise SamConfigurationError(f"{place}: {path}: found a list, wanted the sections {', '.join(_SECTIONS)}.")
    own = (f"file {path}", written)
    if "base" not in written:
        return [own]
    base = written.pop("base")
    if not isinstance(base, str) or place != "--cfg-path":
        raise SamConfigurationError(f"{path}: base: found {base!r}, wanted a file beside it without a base of its own.")
    return [*_read_files(path.parent / base, f"{path}: base"), own]


def _with_datasets(files: Sequence[Layer], datasets: Mapping[str, Any]) -> list[Layer]:
    """Let `datasets` take the place of the files' data sets; how images are read is the recipe's, so that stays."""
    written = OmegaConf.merge(*(layer for _, layer in files)).get("datasets")
    first = next(iter(written.values()), None) if isinstance(written, DictConfig) else None
    kept = {key: first[key] for key in _PROCESSORS if key in first} if isinstance(first, DictConfig) else {}
    others: list[Layer] = [
        (name, OmegaConf.masked_copy(layer, [key for key in layer if key != "datasets"])) for name, layer in files
    ]
    sections = {name: OmegaConf.merge(kept, section) for name, section in datasets.items()}
    return [*others, ("option --data", OmegaConf.create({"datasets": sections}))]


def _joined(files: Sequence[Layer], path: Path) -> DictConfig:
    """Return what the files say together, with every section a mapping."""
    written = OmegaConf.merge(*(layer for _, layer in files))
    known = (*_SECTIONS, "preprocess")  # which stands in every packaged model YAML, and so in a run's config.yaml
    unknown = [unknown_name("section", key, known, str(path)) for key in written if key not in known]
    if unknown:
        raise SamConfigurationError("\n".join(unknown))
    for section in _SECTIONS:
        if not isinstance(written.get(section), DictConfig):
            found = "nothing" if written.get(section) is None else repr(written[section])
            raise SamConfigurationError(f"{path}: {section}: found {found}, wanted a mapping.")
    for name, section in written.datasets.items():
        if section is None:  # `mmlink:` alone takes the packaged configuration as it is
            written.datasets[name] = {}
        elif not isinstance(section, DictConfig):
            raise SamConfigurationError(f"{path}: datasets.{name}: found {section!r}, wanted a mapping.")
    return written


def _resolve(
    files: list[Layer], options: Mapping[str, Any], registered: Registered, place: str, *, check_files: bool
) -> tuple[DictConfig, list[Layer]]:
    written, problems = _joined(files, Path(place)), Problems()
    # Which defaults there are is chosen by texts, so nothing else needs to be known to read these options.
    choosing = {
        key: read_option(value, dict[str, Any] | str) if isinstance(value, OptionText) else value
        for key, value in options.items()
    }
    packaged = registered.packaged(_with_options(written, choosing), place, problems)
    defaults = OmegaConf.merge(*(layer for _, layer in packaged)) if packaged else OmegaConf.create()
    options = read_options(options, defaults, registered.nested)
    known = OmegaConf.merge(defaults, written)
    all_named = not problems
    resolved = _with_options(known, options)
    settings = None
    with problems.collect():
        settings = RunSettings.from_config(resolved.run)
        resolved.run = dataclasses.asdict(settings)
    if all_named:  # below an unknown name, every key would be unknown
        sections = [f"datasets.{name}" for name in registered.own_datasets(written)]
        sections += ["model"] if registered.own_model(written) else []
        problems.extend(unknown_keys(written, defaults, sections, place))
        problems.extend(problem for key in options if (problem := unknown_option(key, known)))
        problems.extend(wrong_types(resolved, defaults))
        problems.extend(wrong_additions(resolved, registered.own_datasets(resolved)))
        problems.extend(registered.impossible(resolved))
        with problems.collect():
            if settings is not None:
                may_lack = () if "run.test_splits" in options else settings.test_splits
                resolved.run.test_splits = keep_used_splits(resolved.datasets, settings, may_lack)
    if check_files and not problems:
        problems.extend(registered.missing_weights(resolved))
        problems.extend(missing_files(resolved, registered.own_datasets(resolved)))
    problems.raise_all()
    own = OmegaConf.create({"run": dataclasses.asdict(RunSettings())})
    given = _with_options(OmegaConf.create(), options)
    return resolved, [("default", own), *packaged, *files, ("option", given)]


def _with_options(config: DictConfig, options: Mapping[str, Any]) -> DictConfig:
    merged = OmegaConf.merge(config)
    for key, value in options.items():
        OmegaConf.update(merged, key, value, merge=True)
    return merged
