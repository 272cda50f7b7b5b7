"""The YAML file of a sweep.

config: ../tiny/train.yaml          the run that every row changes, beside this file
seeds: [0, 1, 2]
options: {run.max_epoch: 4}         for every row
rows:
  projection: {title: "+DATA", options: {model.trainable: projection, model.guidance.extractor: none}}
  sam: {}
  self: {options: {model.guidance.context: self}}
evaluate: [../tiny/evaluate.yaml]   further evaluations of every trained model
compare: [[projection, sam], [self, sam]]
"""

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from lavis_sam.config.names import unknown_name
from lavis_sam.config.settings import Problems, plain, read_settings, setting
from lavis_sam.config.yaml_files import yaml_problem
from lavis_sam.errors import SamConfigurationError

# A row's name is a folder's.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
# What the sweep itself gives to every run.
RESERVED = ("run.output_dir", "run.job_id", "run.resume", "run.resume_ckpt_path", "run.seed", "run.overwrite")


class Seeds(tuple[int, ...]):
    """Different integers of at least 0."""


class Pairs(tuple[tuple[str, str], ...]):
    """Pairs of rows."""


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    options: Mapping[str, Any] = setting({}, "settings of its runs, {dotted key: value}")
    title: str = setting("", "what the table calls it; its name by default")
    train: bool = setting(True, "false: it is evaluated as it is")


@dataclass(frozen=True)
class Sweep:
    """A sweep as its file describes it.

    Attributes:
        config: the run's YAML file.
        evaluate: YAML files of further evaluations.
    """

    config: Path
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    rows: Mapping[str, Row]
    evaluate: tuple[Path, ...]
    compare: tuple[tuple[str, str], ...]

    def title(self, row: str) -> str:
        """Return what the table calls a row."""
        return self.rows[row].title or row


@dataclass(frozen=True)
class _Written:
    """The file's keys."""

    config: str = setting("", "YAML file of the run that the rows change")
    seeds: Seeds = setting(Seeds((0,)), "of the runs")
    options: Mapping[str, Any] = setting({}, "settings of every run, {dotted key: value}")
    rows: Mapping[str, Row] = setting({}, "name -> what differs in this row")
    evaluate: list[str] = setting([], "YAML files of further evaluations")
    compare: Pairs = setting(Pairs(), "rows whose difference is tested")


def read_sweep(path: Path, config: Path | None = None) -> Sweep:
    """Read the file of a sweep.

    Args:
        path: The file.
        config: The YAML file of a run, in place of the one that it names.

    Raises:
        SamConfigurationError: It cannot be read, or every unknown key, wrong value and missing file in one message.
    """
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except OSError as error:
        raise SamConfigurationError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from error
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        # A key that is there twice, such as a row, comes out here.
        raise SamConfigurationError(f"{path}: is no YAML ({yaml_problem(error)}).") from error
    written = read_settings(_Written, values, str(path), readers={Seeds: _read_seeds, Pairs: _read_pairs})
    problems = Problems(_problems(written, path, config))
    problems.raise_all()
    beside = path.parent
    return Sweep(
        config=config or beside / written.config,
        seeds=tuple(written.seeds),
        options=written.options,
        rows=written.rows,
        evaluate=tuple(beside / name for name in written.evaluate),
        compare=tuple(written.compare),
    )


def _problems(written: _Written, path: Path, config: Path | None) -> typing.Iterator[str]:
    if not written.rows:
        yield f"{path}: rows: found none, wanted at least one."
    for name in ([written.config] if written.config else []) + written.evaluate:
        if not (path.parent / name).is_file():
            yield f"{path}: {name}: there is no such file beside it."
    if config is not None and not config.is_file():
        yield f"--config: {config}: there is no such file."
    if not written.config and config is None:
        yield f"{path}: config: found nothing, wanted the YAML file of a run."
    names = [Path(name).stem for name in written.evaluate]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"{path}: evaluate: found several files called {name!r}, wanted one; each names a folder of results."
    titles: dict[str, str] = {}
    for name, row in written.rows.items():
        if not _NAME.fullmatch(name):
            yield f"{path}: rows.{name}: wanted letters, digits, '_', '.', '+' and '-'; a title may be any text."
        first = titles.setdefault(row.title or name, name)
        if first != name:
            yield f"{path}: rows.{name}: has the title of rows.{first}, {row.title or name!r}; wanted another one."
    for place, options in (
        ("options", written.options),
        *((f"rows.{n}.options", r.options) for n, r in written.rows.items()),
    ):
        for key in options:
            if key in RESERVED:
                yield f"{path}: {place}.{key}: the sweep sets it itself; remove it."
    for pair in written.compare:
        for name in pair:
            if name not in written.rows:
                yield unknown_name("row", name, written.rows, f"{path}: compare")


def _read_seeds(value: Any, place: str, problems: list[str]) -> Seeds | None:
    value = plain(value)
    good = isinstance(value, list) and all(isinstance(x, int) and not isinstance(x, bool) and x >= 0 for x in value)
    if not good or not value or len(set(value)) != len(value):
        problems.append(
            f"{place}: found {value!r}, wanted a list of different integers of at least 0, such as [0, 1, 2]."
        )
        return None
    return Seeds(value)


def _read_pairs(value: Any, place: str, problems: list[str]) -> Pairs | None:
    value = plain(value)
    good = isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair) and pair[0] != pair[1]
        for pair in value
    )
    if not good:
        problems.append(f"{place}: found {value!r}, wanted a list of pairs of rows, such as [[base, sam]].")
        return None
    return Pairs(tuple(pair) for pair in value)
