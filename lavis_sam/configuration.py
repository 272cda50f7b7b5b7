"""From a YAML file and `--options` to the one resolved configuration of a run."""

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

from lavis_sam.errors import SamConfigurationError
from lavis_sam.names import registered_class, unknown_name
from lavis_sam.runners.settings import RunSettings

_SECTIONS = ("model", "datasets", "run")
_KEY = re.compile(r"[^\s.=\[\]]+(\.[^\s.=\[\]]+)+")
# Below these a user may name keys that no packaged default has.
_FREE = re.compile(r"run\..*|datasets\.[^.]+\.build_info\.annotations\.(train|val|test)(\..*)?")


class SamConfig(Config):
    """LAVIS's configuration object, built in this order, later ones winning:

    1. the defaults: `RunSettings`; the model's packaged YAML, chosen by `model.arch` and `model.model_type`; each data
       set's packaged YAML, chosen by its name and `type`;
    2. the YAML file;
    3. `--options` (which take part in choosing the defaults too).

    Data set splits that the run does not use are left out, so they need not exist on the disk.
    """

    def __init__(self, args: argparse.Namespace, forced: Mapping[str, Any] | None = None) -> None:
        """Resolve.

        Args:
            args: `cfg_path` and `options` (see `parse_options`).
            forced: {dotted key: value} above file and options.

        Raises:
            SamConfigurationError: An unreadable file, a malformed or unknown option, an unknown registered name, a
                wrong `run` section, or a split that no data set has.
        """
        # LAVIS's constructor merges the options after the defaults are chosen, so it is not called.
        self.args = args
        registry.register("configuration", self)
        options = parse_options(args.options) | dict(forced or {})
        written = _read_yaml(Path(args.cfg_path))
        try:
            self.config = _resolve(written, options, str(args.cfg_path))
        except OmegaConfBaseException as error:
            raise SamConfigurationError(f"{args.cfg_path}: {error}") from error

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


def _read_yaml(path: Path) -> DictConfig:
    try:
        written = OmegaConf.load(path)
    except OSError as error:
        raise SamConfigurationError(f"--cfg-path: {path} cannot be read ({error.strerror or error}).") from error
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise SamConfigurationError(f"--cfg-path: {path} is no YAML ({error}).") from error
    if not isinstance(written, DictConfig):
        raise SamConfigurationError(f"--cfg-path: {path}: found a list, wanted the sections {', '.join(_SECTIONS)}.")
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


def _resolve(written: DictConfig, options: dict[str, Any], place: str) -> DictConfig:
    optioned = _with_options(written, options)
    defaults = OmegaConf.merge(_model_defaults(optioned, place), _dataset_defaults(optioned, place))
    known = OmegaConf.merge(defaults, written)
    problems = [problem for key in options if (problem := _unknown_option(key, known))]
    if problems:
        raise SamConfigurationError("\n".join(problems))
    resolved = _with_options(known, options)
    settings = RunSettings.from_config(resolved.run)
    resolved.run = dataclasses.asdict(settings)
    _keep_used_splits(resolved.datasets, settings)
    return resolved


def _with_options(config: DictConfig, options: dict[str, Any]) -> DictConfig:
    merged = OmegaConf.merge(config)
    for key, value in options.items():
        OmegaConf.update(merged, key, value, merge=True)
    return merged


def _model_defaults(config: DictConfig, place: str) -> DictConfig:
    """The packaged YAML of `model.arch` and `model.model_type` (its sections `model` and `preprocess`)."""
    model_class = registered_class("model", config.model.get("arch"), f"{place}: model.arch")
    model_type = config.model.get("model_type")
    known = getattr(model_class, "PRETRAINED_MODEL_CONFIG_DICT", {})
    if model_type not in known:
        raise SamConfigurationError(unknown_name("model_type", model_type, known, f"{place}: model.model_type"))
    return OmegaConf.load(model_class.default_config_path(model_type=model_type))


def _dataset_defaults(config: DictConfig, place: str) -> DictConfig:
    """The packaged YAML of every data set, chosen by its `type`."""
    defaults = OmegaConf.create({"datasets": {}})
    for name, section in config.datasets.items():
        builder = registered_class("data set", name, f"{place}: datasets")
        kind = section.get("type", "default")
        if kind not in builder.DATASET_CONFIG_DICT:
            where = f"{place}: datasets.{name}.type"
            raise SamConfigurationError(unknown_name("type", kind, builder.DATASET_CONFIG_DICT, where))
        defaults = OmegaConf.merge(defaults, OmegaConf.load(builder.default_config_path(type=kind)))
    return defaults


def _unknown_option(key: str, known: DictConfig) -> str | None:
    """Why `key` is no known key; None when it is. (The keys of `run` are checked with its values.)"""
    if _FREE.fullmatch(key):
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
