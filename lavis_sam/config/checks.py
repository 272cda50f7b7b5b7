"""What can be wrong with a configuration, found before anything is built: keys, types, combinations, files."""

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamError

OUR_ARCH = "blip2_vicuna_sam"
# Keys below a data set that a user may add to its packaged configuration: what processors and formats take is theirs.
_ADDABLE = re.compile(
    r"model\.objectives\.[^.]+"
    r"|datasets\.[^.]+\.(sample_ratio|data_type"
    r"|(vis|text)_processor\.(train|eval)(\..*)?"
    r"|build_info\.(form|prompt_set|check|strict|options(\..*)?|annotations\.(train|val|test)(\..*)?"
    r"|(images|shards|videos|features)(\.storage)?))"
    r"|model\.inject\..*"  # names and options are those of `lavis_sam.weights.injection`
)
_NAMES = {str: "a text", bool: "true or false", int: "an integer", float: "a number", dict: "a mapping", list: "a list"}


class Problems(list[str]):
    """Messages, to be raised together."""

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep the message of a configuration error instead of passing it on."""
        try:
            yield
        except SamConfigurationError as error:
            self.append(str(error))

    def raise_all(self) -> None:
        """Raise a `SamConfigurationError` with every message, if there is one."""
        if self:
            raise SamConfigurationError("\n".join(self))


def may_be_added(key: str) -> bool:
    """Whether a dotted key is right although no packaged configuration has it."""
    return _ADDABLE.fullmatch(key) is not None


def unknown_keys(written: DictConfig, defaults: DictConfig, place: str) -> list[str]:
    """The keys of `model` and `datasets` that nothing would ever read (those of `run` are checked with its values).

    Args:
        written: The file.
        defaults: The packaged configurations that it chose.
        place: The file, for messages.
    """
    found: list[str] = []
    if written.model.get("arch") == OUR_ARCH:
        found += _unknown(written.model, defaults.get("model"), "model", place)
    for name, section in written.datasets.items():
        if name in defaults.get("datasets", {}) and str(name) in _our_datasets():
            found += _unknown(section, defaults.datasets[name], f"datasets.{name}", place)
    return found


def _our_datasets() -> set[str]:
    from lavis.common.registry import registry

    builders = registry.mapping["builder_name_mapping"].items()
    return {name for name, builder in builders if builder.__module__.startswith("lavis_sam.")}


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
    """The values of `model` and `datasets` that are of another kind than the packaged ones.

    Null is right where a text or a mapping is wanted (none), and a list of texts where a `storage` is.
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


def _fits(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return isinstance(found, bool) and isinstance(wanted, bool)
    if isinstance(wanted, float):
        return isinstance(found, int | float)
    return isinstance(found, type(wanted))


def impossible_settings(resolved: DictConfig) -> list[str]:
    """Values that are right one by one and cannot be built."""
    problems = Problems()
    if resolved.model.get("arch") == OUR_ARCH:
        _check_model(OmegaConf.to_container(resolved.model, resolve=True), problems)
    with problems.collect():
        _check_decoding(resolved.run.get("decoding") or {})
    if resolved.run.get("resume") and resolved.run.get("resume_ckpt_path"):
        problems.append("run.resume and run.resume_ckpt_path: found both, wanted one of them.")
    return problems


def _check_model(model: Any, problems: Problems) -> None:
    # The model's own parts know what they can be; importing them takes seconds, so not at the top.
    from lavis_sam.models.guidance import Guidance
    from lavis_sam.models.objectives import read_objectives
    from lavis_sam.models.sizes import ModelSizes
    from lavis_sam.models.trainable import PRESETS
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
    if preset not in PRESETS:
        problems.append(unknown_name("preset", preset, PRESETS, "model.trainable"))
    for key, least in (("max_txt_len", 1), ("max_output_txt_len", 2)):
        value = model.get(key)
        if isinstance(value, int) and value < least:
            problems.append(f"model.{key}: found {value}, wanted at least {least}.")


def _check_decoding(decoding: Mapping[str, Any]) -> None:
    from lavis_sam.models.released_search import Decoding

    known = [field.name for field in dataclasses.fields(Decoding)]
    unknown = [unknown_name("key", name, known, "run.decoding") for name in decoding if name not in known]
    if unknown:
        raise SamConfigurationError("\n".join(unknown))
    Decoding(**{str(name): decoding[name] for name in decoding})


def missing_files(resolved: DictConfig) -> list[str]:
    """The files and folders that the run will read and that are not there: weights, data, checkpoint."""
    problems = list(_missing_weights(resolved.model)) if resolved.model.get("arch") == OUR_ARCH else []
    for name, section in resolved.datasets.items():
        if str(name) in _our_datasets():
            problems += _missing_data(f"datasets.{name}.build_info", section)
    for key in ("resume", "resume_ckpt_path"):
        wanted = resolved.run.get(key)
        if wanted not in (None, "auto") and not Path(wanted).is_file():
            problems.append(f"run.{key}: found {wanted!r}, wanted `auto` or an existing checkpoint.")
    return problems


def _missing_weights(model: DictConfig) -> Iterator[str]:
    from lavis_sam.weights.locations import weight_sources

    try:
        for source in weight_sources(OmegaConf.to_container(model, resolve=True)):
            if problem := source.problem():
                yield f"{source.config_key}: {source.description}: {problem}; or set {source.environment}."
    except SamError as error:
        yield str(error)


def _missing_data(place: str, section: DictConfig) -> Iterator[str]:
    from lavis_sam.files import storage_path

    info = section.get("build_info") or OmegaConf.create()
    places = {f"annotations.{split}": node for split, node in (info.get("annotations") or {}).items()}
    places |= {kind: info[kind] for kind in (section.get("data_type"),) if kind in info}
    for key, node in places.items():
        storage = node.get("storage") if isinstance(node, DictConfig) else None
        for one in [storage] if isinstance(storage, str) else storage or ():
            path = storage_path(one)
            if not os.access(path, os.R_OK):
                reason = "cannot be read" if path.exists() else "no such file or folder"
                yield f"{place}.{key}.storage: {path}: {reason}."
