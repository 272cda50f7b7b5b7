"""What can be wrong with a configuration, found before anything is built: keys, types, combinations, files."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from lavis_sam.config.names import unknown_name
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.config.settings import problem_with
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import expand_storage, is_remote, storage_path

_LOG = logging.getLogger(__name__)
_OPTIONAL_SPLITS = ("val", "test")
# Keys that a user may add to the packaged configuration of a model or a data set: what objectives, injected modules,
# processors and formats take is theirs.
_ADDABLE = re.compile(
    r"model\.objectives\.[^.]+"
    r"|datasets\.[^.]+\.(sample_ratio|data_type"
    r"|(vis|text)_processor\.(train|eval)(\..*)?"
    r"|build_info\.(form|prompt_set|prompt|samples|shuffle_buffer|check|strict|options(\..*)?|annotations\.(train|val|test)(\..*)?"
    r"|(images|shards|videos|features)(\.storage)?))"
    r"|model\.inject\..*"  # names and options are those of `lavis_sam.weights.injection`
    r"|model\.lora\.(targets|rank|alpha)"
    r"|model\.device_map\..*"  # names of the language model's modules
)
# Key below a data set -> type of its value, for those of these keys that always have one type.
ADDED = {
    "sample_ratio": float | None,
    **dict.fromkeys(("build_info.form", "build_info.prompt_set", "build_info.check"), str),
    "build_info.prompt": str | None,
    "build_info.samples": int | None,
    "build_info.shuffle_buffer": int,
    "build_info.strict": bool,
}
# Below these a user may name keys that no packaged default has.
_FREE = re.compile(r"run\..*")
_NAMES = {str: "a text", bool: "true or false", int: "an integer", float: "a number", dict: "a mapping", list: "a list"}


def may_be_added(key: str) -> bool:
    """Return whether a dotted key is right although no packaged configuration has it."""
    return _ADDABLE.fullmatch(key) is not None


def unknown_keys(written: DictConfig, defaults: DictConfig, sections: Iterable[str], place: str) -> list[str]:
    """Return messages on the keys that nothing would ever read (those of `run` are checked with its values).

    Args:
        written: The file.
        defaults: The packaged configurations that it chose.
        sections: Dotted keys of the mappings to check: those of our own model and data sets.
        place: The file, for messages.
    """
    found: list[str] = []
    for section in sections:
        node = OmegaConf.select(written, section)
        if isinstance(node, DictConfig):
            found += _unknown(node, OmegaConf.select(defaults, section), section, place)
    return found


def _unknown(written: DictConfig, known: Any, above: str, place: str) -> Iterator[str]:
    for key in written:
        dotted = f"{above}.{key}"
        if may_be_added(dotted):
            continue
        if not isinstance(known, DictConfig) or key not in known:
            names: Iterable[str] = map(str, known) if isinstance(known, DictConfig) else ()
            yield unknown_name("key", key, names, f"{place}: {above}")
        elif isinstance(written._get_node(key), DictConfig):
            yield from _unknown(written[key], known._get_node(key), dotted, place)


def wrong_types(resolved: DictConfig, defaults: DictConfig, above: str = "") -> Iterator[str]:
    """Yield the values of `model` and `datasets` that are of another kind than the packaged ones.

    Null may stand where a text or a mapping is wanted, and means none; a `storage` may be a list of texts.
    """
    for key in defaults:
        if key not in resolved or OmegaConf.is_interpolation(defaults, key):
            continue
        dotted = f"{above}.{key}" if above else str(key)
        wanted, found = defaults[key], resolved[key]
        if isinstance(wanted, DictConfig) and isinstance(found, DictConfig):
            yield from wrong_types(found, wanted, dotted)
        elif wanted is None or (found is None and isinstance(wanted, str | DictConfig)):
            continue
        elif not _fits(found, wanted) and not (key == "storage" and isinstance(found, ListConfig)):
            kind = _NAMES[
                dict if isinstance(wanted, DictConfig) else list if isinstance(wanted, ListConfig) else type(wanted)
            ]
            yield f"{dotted}: found {found!r}, wanted {kind}, such as {wanted!r}."


def wrong_additions(resolved: DictConfig, datasets: Iterable[str]) -> Iterator[str]:
    """Yield the values of another kind than wanted among the keys that a user may add to these data sets."""
    for name in datasets:
        for key, wanted in ADDED.items():
            above, _, last = key.rpartition(".")
            node = OmegaConf.select(resolved.datasets[name], above) if above else resolved.datasets[name]
            if isinstance(node, DictConfig) and last in node and (problem := problem_with(node[last], wanted, {})):
                yield f"datasets.{name}.{key}: found {node[last]!r}, {problem}."


def _fits(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return isinstance(found, bool) and isinstance(wanted, bool)
    if isinstance(wanted, float):
        return isinstance(found, int | float)
    return isinstance(found, type(wanted))


def missing_files(resolved: DictConfig, datasets: Iterable[str]) -> list[str]:
    """Return messages on the files of these data sets, and the checkpoint to resume from, that are not there."""
    problems: list[str] = []
    for name in datasets:
        problems += _missing_data(f"datasets.{name}.build_info", resolved.datasets[name])
    for key in ("resume", "resume_ckpt_path"):
        wanted = resolved.run.get(key)
        if wanted not in (None, "auto") and not Path(wanted).is_file():
            problems.append(f"run.{key}: found {wanted!r}, wanted `auto` or an existing checkpoint.")
    return problems


def _missing_data(place: str, section: DictConfig) -> Iterator[str]:
    info = section.get("build_info") or OmegaConf.create()
    places = {f"annotations.{split}": node for split, node in (info.get("annotations") or {}).items()}
    places |= {kind: info[kind] for kind in (section.get("data_type"),) if kind in info}
    for key, node in places.items():
        storage = node.get("storage") if isinstance(node, DictConfig) else None
        storages = [storage] if isinstance(storage, str) else list(storage or ())
        if section.get("data_type") == "webdataset":
            storages = [place for one in storages for place in expand_storage(one) if not is_remote(place)]
        for path in map(storage_path, storages):
            if not os.access(path, os.R_OK):
                reason = "cannot be read" if path.exists() else "no such file or folder"
                yield f"{place}.{key}.storage: {path}: {reason}; put the data there, set this key, or give --data DIR."


def unknown_option(key: str, known: DictConfig) -> str | None:
    """Return why `key` is no known key; None when it is. (The keys of `run` are checked with its values.)"""
    if _FREE.fullmatch(key) or may_be_added(key):
        return None
    node: Any = known
    for depth, part in enumerate(key.split(".")):
        if not isinstance(node, DictConfig) or part not in node:
            names: Iterable[str] = map(str, node) if isinstance(node, DictConfig) else ()
            above = ".".join(key.split(".")[:depth]) or "the configuration"
            return unknown_name("key", part, names, f"--options {key}: {above}")
        node = node._get_node(part)
    return None


def keep_used_splits(datasets: DictConfig, settings: RunSettings, may_lack: Iterable[str] = ()) -> list[str]:
    """Drop the splits that the run does not use, and return the test splits that it has.

    Args:
        may_lack: Test splits that a run that trains can do without: those that nobody asked for by an option.

    Raises:
        SamConfigurationError: A used split that no data set has, or nothing to do at all.
    """
    training = () if settings.evaluate else (*settings.train_splits, *settings.valid_splits)
    used = {*training, *settings.test_splits}
    if not used:
        raise SamConfigurationError("run.test_splits: found [], wanted at least one split to evaluate, such as [test].")
    offered = {name: sorted(map(str, _annotations(section))) for name, section in datasets.items()}
    missing = {split for split in used if not any(split in splits for splits in offered.values())}
    passed_over = missing.intersection(may_lack, _OPTIONAL_SPLITS).difference(training) if training else set()
    for split in sorted(passed_over):
        _LOG.warning(
            "run.test_splits: the data have no split %r, so it is not evaluated at the end (%s)", split, offered
        )
    for split in sorted(missing - passed_over):
        raise SamConfigurationError(
            f"run.*_splits: wants the split {split!r}, found {offered}; name its file as "
            f"datasets.<name>.build_info.annotations.{split}.storage, or remove it from run."
        )
    for section in datasets.values():
        annotations = _annotations(section)
        for split in [split for split in annotations if split not in used]:
            del annotations[split]
    return [split for split in settings.test_splits if split not in passed_over]


def _annotations(section: DictConfig) -> DictConfig:
    return OmegaConf.select(section, "build_info.annotations") or OmegaConf.create()
