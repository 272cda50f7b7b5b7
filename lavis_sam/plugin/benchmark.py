"""All data sets of the paper, as far as they are on the disk: found, and evaluated one after the other by one SAM."""

import logging
import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lavis  # noqa: F401 - registers our classes
import torch
from omegaconf import DictConfig

from lavis_sam import distributed
from lavis_sam.config.names import unknown_name
from lavis_sam.config.resolve import parse_options
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.datasets.catalogue import BENCHMARKS, CATALOGUE, Benchmark, DatasetEntry, Source, evaluation_set
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.datasets.own_data import OWN, own_names
from lavis_sam.errors import SamConfigurationError, SamDataError, SamError
from lavis_sam.evaluation.evaluate import evaluate
from lavis_sam.evaluation.run_folder import DEFAULT_PROTOCOL, Results, check_one_model, folder_name
from lavis_sam.evaluation.sam_model import SamModel, warn_if_untrained
from lavis_sam.files import storage_path
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.w_former import is_trained
from lavis_sam.plugin.registry import registered_class
from lavis_sam.plugin.run_config import SamConfig
from lavis_sam.signals import StopRequest

logger = logging.getLogger(__name__)

CONFIGS = Path("projects/sam/eval")
BASE = "base.yaml"  # what the configurations of that folder share, and own data have
# Environment variable that names the folder of all data; without it the configurations take `data`.
DATA_VARIABLE = "LAVIS_SAM_DATA"
SPLIT = "test"
OWN_DATA = Benchmark("own data", "other")
DONE, FAILED, MISSING = "done", "failed", "missing"


@dataclass(frozen=True)
class BenchmarkSet:
    """A data set of the paper or of the user's own, and whether it is on the disk.

    Attributes:
        missing: The files and folders that are not there.
        section: What it is called in the configuration, if not as in results.
    """

    entry: DatasetEntry
    benchmark: Benchmark
    config: SamConfig
    missing: tuple[Path, ...]
    source: Source
    section: str | None = None

    @property
    def key(self) -> str:
        """Its name in the configuration and in LAVIS's registry."""
        return self.section or self.entry.name

    def dataset(self) -> MultiImageDataset:
        """Read its samples.

        Raises:
            SamDataError: They cannot be read.
        """
        section = self.config.datasets_cfg[self.key]
        return registered_class("data set", self.key, "datasets")(section).build_datasets()[SPLIT]

    @property
    def prompt_set(self) -> str:
        """Which instructions its samples get."""
        return str(self.config.datasets_cfg[self.key].build_info.get("prompt_set", "default"))

    @property
    def how_to_get(self) -> str:
        """What is missing, and where it comes from."""
        lacks = ", ".join(str(path) for path in self.missing)
        return f"not on the disk: {lacks}. Get it from: {self.source.place}. Licence: {self.source.licence}."


@dataclass(frozen=True)
class Outcome:
    """What became of a data set.

    Attributes:
        status: `DONE`, `FAILED` or `MISSING`.
        message: Why it failed, or how to get it.
        results: Its scores, if it is done (on rank 0).
    """

    entry: DatasetEntry
    benchmark: Benchmark
    status: str
    message: str = ""
    results: Results | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as plain data."""
        scores = {"count": self.results.count, "corpus": dict(self.results.corpus)} if self.results else {}
        return {
            "dataset": self.entry.name,
            "title": self.entry.title,
            "task": self.benchmark.name,
            "status": self.status,
            **({"message": self.message} if self.message else {}),
            **scores,
        }


def chosen_sets(only: Sequence[str]) -> list[tuple[Benchmark, DatasetEntry]]:
    """Return the data sets that names choose, in the tables' order.

    Args:
        only: Names or titles of data sets, tasks ("group captioning"), tables ("2a", "2", "4"); () chooses all of the
            paper's. Other registered data sets come last.

    Raises:
        SamConfigurationError: A name of nothing.
    """
    pairs = [(benchmark, entry) for benchmark in BENCHMARKS for entry in benchmark.sets]
    names = {id(pair): _names(*pair) for pair in pairs}
    others = [(OWN_DATA, CATALOGUE[name]) for name in only if name in CATALOGUE and not CATALOGUE[name].benchmark]
    only = [name for name in only if name not in {entry.name for _, entry in others}]
    known = sorted({name for found in names.values() for name in found})
    for name in only:
        if _entry_name(name) not in known:
            raise SamConfigurationError(unknown_name("data set, task or table", name, known, "--dataset"))
    wanted = {_entry_name(name) for name in only}
    return [pair for pair in pairs if (not wanted and not others) or wanted & names[id(pair)]] + others


def _names(benchmark: Benchmark, entry: DatasetEntry) -> set[str]:
    return {entry.name, benchmark.name, benchmark.table, benchmark.table.rstrip("ab")}


def _entry_name(name: str) -> str:
    known = evaluation_set(name)
    return known.name if known else name.lower().replace("_", " ").strip()


def find_sets(
    only: Sequence[str] = (),
    *,
    configs: Path = CONFIGS,
    options: Sequence[str] = (),
    model: Mapping[str, Any] | None = None,
) -> list[BenchmarkSet]:
    """Return the chosen data sets, with their configurations and what of their files is missing.

    Args:
        only: See `chosen_sets`; and data of the user's own, see `own_names`.
        configs: The folder of `<data set>.yaml`.
        options: "key=value" over each of them; below `datasets`, over the one that the key names.
        model: The `model` section that takes the files' place; images get the size that it sees. Options win.

    Raises:
        SamConfigurationError: An unknown name, no such folder, or a configuration that is wrong.
    """
    if not configs.is_dir():
        raise SamConfigurationError(
            f"{configs}: there is no such folder; wanted the evaluation configurations, which come with the repository "
            f"as {CONFIGS}. Run the command there, or name them with --configs."
        )
    found = []
    names, own = own_names(only)
    for benchmark, entry in chosen_sets(names) if names or not own else ():
        path = configs / f"{entry.name}.yaml"
        forced = {} if path.is_file() or entry.benchmark else {f"datasets.{entry.name}.type": "default"}
        config = _config(path if not forced else configs / BASE, entry.name, options, model, forced)
        paths = dict.fromkeys(_paths(config.datasets_cfg[entry.name]))
        missing = tuple(path for path in paths if not os.access(path, os.R_OK))
        found.append(BenchmarkSet(entry, benchmark, config, missing, entry.source))
    for name, data in own.items():
        config = _config(configs / BASE, OWN, options, model, {"run.evaluate": True}, data)
        source = Source(str(data), CATALOGUE[OWN].source.licence)
        entry = replace(CATALOGUE[OWN], name=name, title=folder_name(name), source=source)
        found.append(BenchmarkSet(entry, OWN_DATA, config, (), source, OWN))
    return found


def _config(
    path: Path,
    name: str,
    options: Sequence[str],
    model: Mapping[str, Any] | None,
    forced: Mapping[str, Any],
    data: Path | None = None,
) -> SamConfig:
    words = [word for word in options if not word.startswith("datasets.") or word.split(".")[1] == name]
    given = parse_options(words)
    forced = {key: value for key, value in forced.items() if key not in given}
    return SamConfig(Namespace(cfg_path=str(path), options=words, data=data), forced | _forced(name, model, words))


def _forced(name: str, model: Mapping[str, Any] | None, options: Sequence[str]) -> dict[str, Any]:
    """Return the model section and the size of its images as settings; those that the options have are left to them."""
    if not model:
        return {}
    given = parse_options(options)
    if "model.model_type" in given:
        raise SamConfigurationError(
            f"--options: found model.model_type={given['model.model_type']}, wanted it as --model, which chooses the "
            "model's other settings too."
        )
    forced = dict(_leaves(model, "model"))
    forced[f"datasets.{name}.vis_processor.eval.image_size"] = model["sizes"]["vision"]["image_size"]
    return {key: value for key, value in forced.items() if key not in given}


def _leaves(node: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}.{key}")
        else:
            yield f"{above}.{key}", value


def _paths(section: DictConfig) -> Iterator[Path]:
    """Yield the files and folders that a data set is read from."""
    info = section.build_info
    for node in (info.annotations[SPLIT], info.get(section.data_type)):
        storage = node.storage if node is not None else ()
        for one in [storage] if isinstance(storage, str) else storage:
            yield storage_path(one)


def run_sets(sets: Sequence[BenchmarkSet], evaluate: Callable[[BenchmarkSet], Results | None]) -> list[Outcome]:
    """Evaluate every data set that is on the disk; one that fails does not stop the others.

    Args:
        evaluate: A data set -> its results (None on processes other than rank 0). It fails on all processes or on none.

    Raises:
        RunStopped: Somebody asked for the end.
    """
    outcomes = []
    for one in sets:
        if one.missing:
            logger.info("%s is %s", one.entry.title, one.how_to_get)
            outcomes.append(Outcome(one.entry, one.benchmark, MISSING, one.how_to_get))
            continue
        try:
            outcomes.append(Outcome(one.entry, one.benchmark, DONE, results=evaluate(one)))
        except (SamError, OSError) as error:
            logger.error("%s failed: %s", one.entry.title, error)
            outcomes.append(Outcome(one.entry, one.benchmark, FAILED, str(error)))
    return outcomes


class SamEvaluator:
    """Evaluates data sets with the model that their configurations describe, which is the same for all of them."""

    def __init__(
        self,
        sets: Sequence[BenchmarkSet],
        out: Path,
        *,
        device: torch.device,
        protocol: str = DEFAULT_PROTOCOL,
        stop: StopRequest | None = None,
    ) -> None:
        """Load the model; all processes together.

        Raises:
            SamCheckpointError: Weights are missing (all of them are listed), damaged or do not fit.
            SamDataError: The folder holds another model's results.
        """
        self._out, self._protocol, self._stop, self._is_cuda = out, protocol, stop, device.type == "cuda"
        config = sets[0].config
        torch.manual_seed(RunSettings.from_config(config.run_cfg).seed)
        kind = registered_class("model", config.model_cfg.get("arch"), "model.arch")
        self._model = kind.from_config(config.model_cfg).to(device).eval()
        self.is_trained = is_trained(self._model)
        warn_if_untrained(self._model)
        problem: SamDataError | None = None
        if distributed.is_main_process():
            described = self._sam(sets[0]).describe()
            try:
                check_one_model(out, described["weights"], described["decoding"], protocol)
            except SamDataError as error:
                problem = error
        problem = distributed.from_main(problem)
        if problem is not None:
            raise problem

    def __call__(self, one: BenchmarkSet) -> Results | None:
        """Answer and score one data set; continues where an interrupted run ended.

        Returns:
            On rank 0 the results; elsewhere None.

        Raises:
            SamError: See `evaluate`.
            RunStopped: Somebody asked for the end; what was answered is kept.
        """
        settings = RunSettings.from_config(one.config.run_cfg)
        return evaluate(
            one.dataset(),
            self._sam(one),
            self._out / one.entry.title,
            name=one.entry.name,
            split=SPLIT,
            batch_size=settings.batch_size_eval,
            max_bytes=settings.batch_bytes_eval,
            protocol=self._protocol,
            stop=self._stop,
            num_workers=settings.num_workers,
            pin_memory=self._is_cuda,
        )

    def _sam(self, one: BenchmarkSet) -> SamModel:
        decoding = one.config.run_cfg.get("decoding") or {}
        return SamModel(
            self._model,
            Decoding(**{str(name): decoding[name] for name in decoding}),
            config=one.config.to_dict(),
            dataset=one.key,
        )
