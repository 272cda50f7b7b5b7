"""From a YAML file and `--options` to the one resolved configuration of a run, checked whole."""

import argparse
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis.common.config import Config
from lavis.common.registry import registry
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from lavis_sam.config.checks import (
    Problems,
    impossible_settings,
    may_be_added,
    missing_files,
    unknown_keys,
    wrong_types,
)
from lavis_sam.config.names import unknown_name
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.registry import registered_class

_SECTIONS = ("model", "datasets", "run")
_KEY = re.compile(r"[^\s.=\[\]]+(\.[^\s.=\[\]]+)+")
# Below these a user may name keys that no packaged default has.
_FREE = re.compile(r"run\..*")


class SamConfig(Config):
    """LAVIS's configuration object, built in this order, later ones winning:

    1. the defaults: `RunSettings`; the model's packaged YAML, chosen by `model.arch` and `model.model_type`; each data
       set's packaged YAML, chosen by its name and `type`;
    2. the YAML file, above the one beside it that its key `base` names, if it has one;
    3. `--options` (which take part in choosing the defaults too).

    Data set splits that the run does not use are left out, so they need not exist on the disk.

    Attributes:
        layers: (where from, what it says), in that order; see `origin`.
    """

    def __init__(
        self, args: argparse.Namespace, forced: Mapping[str, Any] | None = None, *, check_files: bool = False
    ) -> None:
        """Resolve and check.

        Args:
            args: `cfg_path` and `options` (see `parse_options`).
            forced: {dotted key: value} above file and options.
            check_files: Whether every file that the run will read has to be there.

        Raises:
            SamConfigurationError: An unreadable file, a malformed option; or everything else that is wrong, in one
                message: unknown keys, options and names, wrong types, impossible settings, splits that no data set has,
                and, if asked for, files that are missing.
        """
        # LAVIS's constructor merges the options after the defaults are chosen, so it is not called.
        self.args = args
        registry.register("configuration", self)
        options = parse_options(args.options) | dict(forced or {})
        files = _read_files(Path(args.cfg_path))
        try:
            self.config, self.layers = _resolve(files, options, str(args.cfg_path), check_files=check_files)
        except OmegaConfBaseException as error:
            raise SamConfigurationError(f"{args.cfg_path}: {error}") from error

    def origin(self, key: str) -> str:
        """Where the value of a dotted key comes from: the last layer that says something about it."""
        for origin, layer in reversed(self.layers):
            node: Any = layer
            for part in key.split("."):
                if not isinstance(node, DictConfig) or part not in node:
                    break
                node = node._get_node(part)
            else:
                return origin
        return "computed"

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, with every interpolation filled in."""
        return OmegaConf.to_container(self.config, resolve=True)


def parse_options(options: Sequence[str] | None) -> dict[str, Any]:
    """`["run.init_lr=1e-4", …]`, or LAVIS's older `["run.init_lr", "1e-4", …]`, to {dotted key: value}.

    Raises:
        SamConfigurationError: The two forms are mixed, a value is missing, a key is malformed or given twice.
    """
    words = list(options or ())
    forms = "wanted `a.b=value c.d=value …` (or, all of them, `a.b value c.d value …`)"
    if words and "=" not in words[0]:
        if len(words) % 2 or any("=" in key for key in words[0::2]):
            raise SamConfigurationError(f"--options: found {' '.join(words)!r}, {forms}.")
        words = [f"{key}={value}" for key, value in zip(words[0::2], words[1::2], strict=True)]
    parsed: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise SamConfigurationError(f"--options: found {word!r}, {forms}; keys start with {', '.join(_SECTIONS)}.")
        if key in parsed:
            raise SamConfigurationError(f"--options: {key} is given twice; give it once.")
        try:
            parsed[key] = OmegaConf.select(OmegaConf.from_dotlist([f"value={text}"]), "value")
        except (YAMLError, OmegaConfBaseException) as error:
            raise SamConfigurationError(f"--options: the value of {word!r} is no YAML ({error}).") from error
    return parsed


def _read_files(path: Path, place: str = "--cfg-path") -> list[tuple[str, DictConfig]]:
    """The file as a layer, above that of the file beside it that its key `base` names, if it has one."""
    try:
        written = OmegaConf.load(path)
    except OSError as error:
        raise SamConfigurationError(f"{place}: {path} cannot be read ({error.strerror or error}).") from error
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise SamConfigurationError(f"{place}: {path} is no YAML ({error}).") from error
    if not isinstance(written, DictConfig):
        raise SamConfigurationError(f"{place}: {path}: found a list, wanted the sections {', '.join(_SECTIONS)}.")
    own = (f"file {path}", written)
    if "base" not in written:
        return [own]
    base = written.pop("base")
    if not isinstance(base, str) or place != "--cfg-path":
        raise SamConfigurationError(f"{path}: base: found {base!r}, wanted a file beside it without a base of its own.")
    return [*_read_files(path.parent / base, f"{path}: base"), own]


def _joined(files: Sequence[tuple[str, DictConfig]], path: Path) -> DictConfig:
    """What the files say together, with every section a mapping."""
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
    files: list[tuple[str, DictConfig]], options: dict[str, Any], place: str, *, check_files: bool
) -> tuple[DictConfig, list[tuple[str, DictConfig]]]:
    """The resolved configuration and its layers; all problems come in one error."""
    written, problems = _joined(files, Path(place)), Problems()
    packaged = _packaged_layers(_with_options(written, options), place, problems)
    defaults = OmegaConf.merge(*(layer for _, layer in packaged)) if packaged else OmegaConf.create()
    known = OmegaConf.merge(defaults, written)
    all_named = not problems
    resolved = _with_options(known, options)
    settings = None
    with problems.collect():
        settings = RunSettings.from_config(resolved.run)
        resolved.run = dataclasses.asdict(settings)
    if all_named:  # below an unknown name, every key would be unknown
        problems.extend(unknown_keys(written, defaults, place))
        problems.extend(problem for key in options if (problem := _unknown_option(key, known)))
        problems.extend(wrong_types(resolved, defaults))
        problems.extend(impossible_settings(resolved))
        with problems.collect():
            if settings is not None:
                _keep_used_splits(resolved.datasets, settings)
    if check_files and not problems:
        problems.extend(missing_files(resolved))
    problems.raise_all()
    own = OmegaConf.create({"run": dataclasses.asdict(RunSettings())})
    given = _with_options(OmegaConf.create(), options)
    return resolved, [("default", own), *packaged, *files, ("option", given)]


def _with_options(config: DictConfig, options: dict[str, Any]) -> DictConfig:
    merged = OmegaConf.merge(config)
    for key, value in options.items():
        OmegaConf.update(merged, key, value, merge=True)
    return merged


def _packaged_layers(config: DictConfig, place: str, problems: Problems) -> list[tuple[str, DictConfig]]:
    """The packaged YAMLs that `model.arch`, `model.model_type` and each data set's `type` choose."""
    paths: list[str] = []
    with problems.collect():
        paths.append(_model_default_path(config, place))
    for name, section in config.datasets.items():
        with problems.collect():
            paths.append(_dataset_default_path(name, section, place))
    return [(f"packaged {Path(path).parent.name}/{Path(path).name}", OmegaConf.load(path)) for path in paths]


def _model_default_path(config: DictConfig, place: str) -> str:
    model_class = registered_class("model", config.model.get("arch"), f"{place}: model.arch")
    model_type = config.model.get("model_type")
    known = getattr(model_class, "PRETRAINED_MODEL_CONFIG_DICT", {})
    if model_type not in known:
        raise SamConfigurationError(unknown_name("model_type", model_type, known, f"{place}: model.model_type"))
    return model_class.default_config_path(model_type=model_type)


def _dataset_default_path(name: str, section: DictConfig, place: str) -> str:
    builder = registered_class("data set", name, f"{place}: datasets")
    kind = section.get("type", "default")
    if kind not in builder.DATASET_CONFIG_DICT:
        where = f"{place}: datasets.{name}.type"
        raise SamConfigurationError(unknown_name("type", kind, builder.DATASET_CONFIG_DICT, where))
    return builder.default_config_path(type=kind)


def _unknown_option(key: str, known: DictConfig) -> str | None:
    """Why `key` is no known key; None when it is. (The keys of `run` are checked with its values.)"""
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


def _keep_used_splits(datasets: DictConfig, settings: RunSettings) -> None:
    """Drop the splits that the run does not use.

    Raises:
        SamConfigurationError: A used split that no data set has, or nothing to do at all.
    """
    training = () if settings.evaluate else (*settings.train_splits, *settings.valid_splits)
    used = {*training, *settings.test_splits}
    if not used:
        raise SamConfigurationError("run.test_splits: found [], wanted at least one split to evaluate, such as [test].")
    offered = {name: sorted(map(str, _annotations(section))) for name, section in datasets.items()}
    for split in sorted(used):
        if not any(split in splits for splits in offered.values()):
            raise SamConfigurationError(
                f"run.*_splits: wants the split {split!r}, found {offered}; name its file as "
                f"datasets.<name>.build_info.annotations.{split}.storage, or remove it from run."
            )
    for section in datasets.values():
        annotations = _annotations(section)
        for split in [split for split in annotations if split not in used]:
            del annotations[split]


def _annotations(section: DictConfig) -> DictConfig:
    return OmegaConf.select(section, "build_info.annotations") or OmegaConf.create()
