"""The configuration of a run, resolved and checked; LAVIS and PyTorch are imported only where a name is not ours."""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lavis_sam.config.names import unknown_name
from lavis_sam.config.resolve import Layer, Registered, origin, parse_options, resolve
from lavis_sam.config.settings import Problems
from lavis_sam.datasets.catalogue import CATALOGUE
from lavis_sam.datasets.own_data import own_datasets
from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.files import PACKAGE_ROOT
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.objectives import read_objectives
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.plugin.registry import registered_class
from lavis_sam.weights.embedded import fill_guidance
from lavis_sam.weights.packaged import MODEL_CONFIGS

OUR_ARCH = "blip2_vicuna_sam"
# Values that need no look at the tables of names, which stand beside what they build, and so beside PyTorch.
_USUAL_PRESETS = ("sam", "projection", "mmicl")
_USUAL_PRECISIONS = ("fp32", "bf16", "fp16")


class ResolvedConfig:
    """The configuration of a run, built in this order, later ones winning:

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
            args: `cfg_path`, `options` (see `parse_options`) and, where the program takes it, `data` (see
                `own_datasets`).
            forced: {dotted key: value} above file and options.
            check_files: Whether every file that the run will read has to be there.

        Raises:
            SamConfigurationError: An unreadable file, a malformed option; or everything else that is wrong, in one
                message: unknown keys, options and names, wrong types, impossible settings, splits that no data set has,
                and, if asked for, files that are missing.
        """
        self.args = args
        options, data = parse_options(args.options) | dict(forced or {}), getattr(args, "data", None)
        whole = "test" if options.get("run.evaluate") else "train"
        self.config, self.layers = resolve(
            Path(args.cfg_path),
            options,
            REGISTERED,
            check_files=check_files,
            datasets=None if data is None else own_datasets(Path(data), whole=whole),
        )
        if _is_ours(self.config):
            fill_guidance(self.config.model)

    @property
    def run_cfg(self) -> DictConfig:
        """The section `run` (LAVIS's name)."""
        return self.config.run

    @property
    def model_cfg(self) -> DictConfig:
        """The section `model` (LAVIS's name)."""
        return self.config.model

    @property
    def datasets_cfg(self) -> DictConfig:
        """The section `datasets` (LAVIS's name)."""
        return self.config.datasets

    def origin(self, key: str) -> str:
        """Return where the value of a dotted key comes from: the last layer that says something about it."""
        return origin(self.layers, key)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, with every interpolation filled in."""
        return OmegaConf.to_container(self.config, resolve=True)


def _packaged_layers(config: DictConfig, place: str, problems: Problems) -> list[Layer]:
    """Return the packaged YAMLs that `model.arch`, `model.model_type` and each data set's `type` choose."""
    paths: list[str] = []
    with problems.collect():
        paths.append(_model_default_path(config, place))
    for name, section in config.datasets.items():
        with problems.collect():
            paths.append(_dataset_default_path(name, section, place))
    return [(f"packaged {Path(path).parent.name}/{Path(path).name}", OmegaConf.load(path)) for path in paths]


def _model_default_path(config: DictConfig, place: str) -> str:
    model_class = (
        None if _is_ours(config) else registered_class("model", config.model.get("arch"), f"{place}: model.arch")
    )
    model_type = config.model.get("model_type")
    known = MODEL_CONFIGS if model_class is None else getattr(model_class, "PRETRAINED_MODEL_CONFIG_DICT", {})
    if model_type not in known:
        raise SamConfigurationError(unknown_name("model_type", model_type, known, f"{place}: model.model_type"))
    return known[model_type] if model_class is None else model_class.default_config_path(model_type=model_type)


def _dataset_default_path(name: str, section: DictConfig, place: str) -> str:
    entry, kind = CATALOGUE.get(name), section.get("type", "default")
    builder: Any = registered_class("data set", name, f"{place}: datasets") if entry is None else None
    known = builder.DATASET_CONFIG_DICT if entry is None else entry.configs
    if kind not in known:
        raise SamConfigurationError(unknown_name("type", kind, known, f"{place}: datasets.{name}.type"))
    if entry is None:
        return builder.default_config_path(type=kind)
    return str(PACKAGE_ROOT / "configs" / "datasets" / entry.name / entry.configs[kind])


def _impossible_settings(resolved: DictConfig) -> list[str]:
    """Return values that are right one by one and cannot be built."""
    problems = Problems()
    if _is_ours(resolved):
        _check_model(OmegaConf.to_container(resolved.model, resolve=True), problems)
    with problems.collect():
        _check_decoding(resolved.run.get("decoding") or {})
    if resolved.run.get("resume") and resolved.run.get("resume_ckpt_path"):
        problems.append("run.resume and run.resume_ckpt_path: found both, wanted one of them.")
    for key in ("resume", "resume_ckpt_path"):
        if resolved.run.get("overwrite") and resolved.run.get(key):
            problems.append(
                f"run.overwrite and run.{key}: found both, wanted one of them: add run.{key}=null to begin anew, or "
                "run.overwrite=false to continue."
            )
    return problems


def _check_model(model: Any, problems: Problems) -> None:
    if model.get("precision", "fp32") not in _USUAL_PRECISIONS:
        from lavis_sam.weights.build_model import read_precision

        with problems.collect():
            read_precision(model)
    with problems.collect():
        sizes = ModelSizes.from_mapping(model.get("sizes"))
        with problems.collect():
            Guidance.from_mapping(model.get("guidance")).at_depth(sizes.q_former.layers)
    with problems.collect():
        read_objectives(model.get("objectives"))
    preset = model.get("trainable", "sam")
    if preset not in _USUAL_PRESETS:
        from lavis_sam.models.trainable import PRESETS

        if preset not in PRESETS:
            problems.append(unknown_name("preset", preset, PRESETS, "model.trainable"))
    for key, least in (("max_txt_len", 1), ("max_output_txt_len", 2)):
        value = model.get(key)
        if isinstance(value, int) and value < least:
            problems.append(f"model.{key}: found {value}, wanted at least {least}.")


def _check_decoding(decoding: Mapping[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(Decoding)]
    unknown = [unknown_name("key", name, known, "run.decoding") for name in decoding if name not in known]
    if unknown:
        raise SamConfigurationError("\n".join(unknown))
    Decoding(**{str(name): decoding[name] for name in decoding})


def _is_ours(config: DictConfig) -> bool:
    return config.model.get("arch") == OUR_ARCH


def _own_datasets(config: DictConfig) -> list[str]:
    return [str(name) for name in config.datasets if name in CATALOGUE]


def _missing_weights(resolved: DictConfig) -> list[str]:
    if not _is_ours(resolved):
        return []
    from lavis_sam.weights.locations import weight_sources

    try:
        return [
            f"{source.config_key}: {source.description}: {problem}; put it there, or set this key or "
            f"{source.environment} to its path."
            for source in weight_sources(OmegaConf.to_container(resolved.model, resolve=True))
            if (problem := source.problem())
        ]
    except SamError as error:
        return [str(error)]


REGISTERED = Registered(
    _packaged_layers,
    _is_ours,
    _own_datasets,
    _impossible_settings,
    _missing_weights,
    nested={"run.decoding": Decoding},
)
