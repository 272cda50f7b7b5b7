"""The configuration of a run: a YAML file as plain, checked, frozen values.

A file may name another as its `base` - a packaged one (`mmlink`) or a path relative to itself - and then holds only
what differs. All problems of a file are reported in one message.
"""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.config.settings import build_settings, setting
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.quality import SCORES, Limits
from lavis_sam.synthesis.records import FORMS

CONFIGS = Path(__file__).parents[1] / "configs" / "synthesis"
DEFAULT_CONFIG = "mmlink"
SPLITS = ("train", "held_out", "all")
# A base of a base of a base …: nobody means more than this, and a circle ends here.
_LONGEST_CHAIN = 8


@dataclass(frozen=True)
class Backend:
    """Which implementation does a job, and how.

    Attributes:
        backend: A registered name, or "package.module:name" of a class or function that makes one.
    """

    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageBackends:
    """The implementation of every stage that has more than one."""

    segment: Backend = Backend("u2netp")
    background: Backend = Backend("templates")
    inpaint: Backend = Backend("panoramas")
    describe: Backend = Backend("templates")
    refine: Backend = Backend("keep")
    score: Backend = Backend("none")


@dataclass(frozen=True)
class ImageSettings:
    """What a finished image is."""

    size: int = setting(512, "side in pixels", minimum=64, maximum=4096)
    fill: int = setting(127, "grey of what is not painted yet", minimum=0, maximum=255)
    format: str = setting("jpeg", "file format", choices=("jpeg", "png"))
    quality: int = setting(92, "of a JPEG", minimum=50, maximum=100)
    least_height: float = setting(0.30, "share of a scene that its main object takes", minimum=0.05, maximum=0.6)


@dataclass(frozen=True)
class WorkSettings:
    """How the work is cut; none of it changes what a sample looks like."""

    attempts: int = setting(12, "tries at one place of the data set", minimum=1)
    rounds: int = setting(4, "times that near duplicates are replaced", minimum=1)
    part_size: int = setting(16, "samples that a worker makes at a time", minimum=1)
    shard_size: int = setting(256, "samples in a tar shard", minimum=1)
    keep_rejected: int = setting(6, "images kept for each reason", minimum=0)


@dataclass(frozen=True)
class SynthesisSettings:
    """Everything that decides what a data set holds, but for its size and seed."""

    form: str = setting("pairs", "what a sample is", choices=FORMS)
    split: str = setting("train", "which half of the world is used", choices=SPLITS)
    kinds: Mapping[str, float] = field(
        default_factory=lambda: {name: kind.weight for name, kind in KINDS.items()},
        metadata={"names": KINDS, "noun": "kind", "minimum": 0},
    )
    sources: Mapping[str, Backend] = setting({}, "where objects come from", names=KINDS, noun="kind")
    use_source_masks: bool = setting(False, "trust a source's own masks, do not segment")
    stages: StageBackends = StageBackends()
    images: ImageSettings = setting(ImageSettings(), "finished images", key="pictures")
    run: WorkSettings = WorkSettings()
    quality: Mapping[str, Limits] = setting({}, "thresholds", names=SCORES, noun="score")

    @classmethod
    def from_config(cls, config: Mapping[str, Any], place: str = "the configuration") -> "SynthesisSettings":
        """Check a whole configuration.

        Args:
            config: Plain mapping, such as `read_config` gives.

        Raises:
            SamConfigurationError: Every unknown name, wrong type and value out of range, in one message.
        """
        problems: list[str] = []
        settings = build_settings(cls, config, "", problems, readers={Backend: _read_backend})
        if not problems:
            problems.extend(_contradictions(settings))
        if problems:
            raise SamConfigurationError(f"{place}:\n" + "\n".join(f"  {problem}" for problem in problems))
        return typing.cast(SynthesisSettings, settings)

    @property
    def image_count(self) -> int:
        """Images of a sample."""
        return FORMS[self.form]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data under the keys of the YAML file, in which `images` is called `pictures`."""
        values = dataclasses.asdict(self)
        return {entry.metadata.get("key", entry.name): values[entry.name] for entry in dataclasses.fields(self)}

    def fingerprint(self) -> str:
        """Return SHA-256 of everything in it."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode("utf-8")).hexdigest()

    def with_kinds(self, kinds: typing.Sequence[str]) -> "SynthesisSettings":
        """Return the same, with these kinds only; a kind that the file leaves out gets the weight 1.

        Raises:
            SamConfigurationError: An unknown kind, or none.
        """
        unknown = [unknown_name("kind", kind, KINDS, "--kinds") for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise SamConfigurationError(
                "\n".join(unknown) or f"--kinds: found none; wanted some of {', '.join(KINDS)}."
            )
        weights = {name: self.kinds.get(name) or kind.weight for name, kind in KINDS.items() if name in kinds}
        changed = dataclasses.replace(self, kinds=weights)
        problems = list(_contradictions(changed))
        if problems:
            raise SamConfigurationError("--kinds: " + " ".join(problems))
        return changed


def read_config(name_or_path: str | Path = DEFAULT_CONFIG) -> dict[str, Any]:
    """Return a configuration with its bases merged in.

    Args:
        name_or_path: A packaged configuration's name, or a YAML file.

    Raises:
        SamConfigurationError: No such file or name, no YAML, or bases that go in a circle.
    """
    chain: list[dict[str, Any]] = []
    path = _config_path(str(name_or_path), Path())
    while True:
        config = _read_yaml(path)
        base = config.pop("base", None)
        chain.append(config)
        if base is None:
            break
        if len(chain) == _LONGEST_CHAIN:
            raise SamConfigurationError(f"{path}: base: more than {_LONGEST_CHAIN} files in a row; is it a circle?")
        path = _config_path(str(base), path.parent)
    merged: dict[str, Any] = {}
    for config in reversed(chain):
        merged = _merge(merged, config)
    return merged


def packaged_configs() -> list[str]:
    """Return names of the configurations that come with the package."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def _config_path(name: str, folder: Path) -> Path:
    if not name.endswith((".yaml", ".yml")):
        if name not in packaged_configs():
            raise SamConfigurationError(unknown_name("configuration", name, packaged_configs(), "--config (or base)"))
        return CONFIGS / f"{name}.yaml"
    return folder / name


def _read_yaml(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from lavis_sam.config.yaml_files import read_yaml

    try:
        config = OmegaConf.to_container(read_yaml(path, "--config"), resolve=True)
    except OmegaConfBaseException as error:
        raise SamConfigurationError(f"--config: {path}: {error}") from error
    if not isinstance(config, dict):
        raise SamConfigurationError(f"--config: {path}: found a list, wanted a mapping.")
    return {str(key): value for key, value in config.items()}


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings, replace everything else; another backend does not inherit the options of the old one.

    `kinds` says how often each kind occurs, so it is replaced as a whole too.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        other_backend = isinstance(value, Mapping) and "backend" in value
        if isinstance(old, dict) and isinstance(value, Mapping) and not other_backend and key != "kinds":
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _read_backend(value: Any, place: str, problems: list[str]) -> Backend | None:
    """Return `{backend: name, option: value, …}`, or the name alone."""
    if isinstance(value, str):
        value = {"backend": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("backend"), str):
        problems.append(f"{place}: found {value!r}, wanted {{backend: name, option: value, …}}.")
        return None
    return Backend(value["backend"], {str(key): item for key, item in value.items() if key != "backend"})


def _contradictions(settings: SynthesisSettings) -> Iterator[str]:
    """Yield what no single value is to blame for."""
    used = [kind for kind, weight in settings.kinds.items() if weight > 0]
    if not used:
        yield f"kinds: found no weight above 0, wanted one for some of {', '.join(KINDS)}."
    for kind in used:
        if kind not in settings.sources:
            yield f"sources.{kind}: missing, and kinds.{kind} is {settings.kinds[kind]:g}."
    if settings.form == "stories" and not all(KINDS[kind].has_poses for kind in used):
        yield f"kinds: found {', '.join(used)}; stories are told of characters only."
    for name, limits in settings.quality.items():
        if limits.min is not None and limits.max is not None and limits.min > limits.max:
            yield f"quality.{name}: found min {limits.min:g} above max {limits.max:g}."
