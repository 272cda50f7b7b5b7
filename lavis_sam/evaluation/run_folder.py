"""What an evaluation leaves on disk, written in one call and checked when it is read.

    RUN/                    one model
      AESOP/                one data set; `write_results` makes this folder
        pred.json           predictions in the authors' exchange format
        eval.json           {"rouge", "cider", "bleu4"}, x100, two decimals: the authors' file
        eval_score.json     the scores of each sample: the authors' file
        manifest.json       protocol, data, how the predictions were made, exact scores, fingerprints of the other files
      VIST/ …

The manifest is removed first and written last, so a folder with a manifest is whole, and one without is unfinished. A
manifest is checked against the metrics that it holds, so folders of before a metric came, or with one that is unknown
here, are read as they are.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lavis_sam import __version__
from lavis_sam.datasets.catalogue import evaluation_set
from lavis_sam.errors import SamDataError
from lavis_sam.files import read_json, sha256_of, write_json
from lavis_sam.metrics.predictions import Prediction, data_fingerprint
from lavis_sam.metrics.protocols import PROTOCOLS, TOKENIZERS, Scores
from lavis_sam.run_layout import results_of

PREDICTIONS_FILE = "pred.json"
SCORES_FILE = "eval.json"
SAMPLE_SCORES_FILE = "eval_score.json"
MANIFEST_FILE = "manifest.json"
DEFAULT_PROTOCOL = "sam"
REMEDY = "Evaluate or score again."
_FORMAT = 1
_DECIMALS = 2


@dataclass(frozen=True)
class Provenance:
    """How predictions were made; None where nobody knows.

    Attributes:
        weights: Fingerprint of the model's weights.
        decoding: Arguments of `generate`.
        is_trained: Whether SAM's layers were trained; without that its answers are its base's.
    """

    model: str | None = None
    weights: str | None = None
    split: str | None = None
    prompts: Any = None
    decoding: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    is_trained: bool | None = None


@dataclass(frozen=True)
class Results:
    """The results of one model on one data set.

    Attributes:
        corpus: Metric -> exact corpus score, x100.
        data: Fingerprint of the samples' ids and references.
        made_by: How the predictions were made, as the manifest says.
        tokenizer: How words were found.
        refused: {"sample_id", "reason"} of each sample that the model did not answer, which counts as an empty answer.
    """

    folder: Path
    dataset: str
    protocol: str
    count: int
    corpus: Mapping[str, float]
    data: str
    made_by: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str = TOKENIZERS[0]
    refused: Sequence[Mapping[str, Any]] = ()

    @property
    def title(self) -> str:
        """The data set's name in the paper's tables, or the one it has here if the paper has none."""
        return folder_name(self.dataset)


@dataclass(frozen=True)
class Run:
    """The results of one model.

    Attributes:
        folder: As it was given: the folder of results, or of the training run that they belong to.
        results: One for each data set, in alphabetical order of the folders.
        name: What a person calls it; None where nobody said.
    """

    folder: Path
    results: tuple[Results, ...]
    name: str | None = None


def folder_name(dataset: str) -> str:
    """Return what a data set's folder in a run is called: its title in the paper's tables, else its name."""
    known = evaluation_set(dataset)
    return known.title if known else dataset


def write_results(
    folder: str | os.PathLike[str],
    predictions: Sequence[Prediction],
    scores: Scores,
    *,
    dataset: str,
    provenance: Provenance | None = None,
    refused: Sequence[Mapping[str, Any]] = (),
) -> Results:
    """Write the four files of one data set.

    Args:
        folder: The data set's folder; earlier results there are replaced.
        refused: See `Results`; the manifest holds it where there are such samples.

    Raises:
        SamDataError: Scores of other samples, scores that the published libraries do not confirm, or something that
            JSON cannot say.
    """
    folder = Path(folder)
    if [prediction.sample_id for prediction in predictions] != list(scores.ids):
        raise SamDataError(
            f"{folder}: found scores of {len(scores.ids)} samples and {len(predictions)} predictions, wanted the "
            "scores of these predictions in the same order."
        )
    corpus = dict(scores.reported.corpus)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    contents: dict[str, Any] = {
        PREDICTIONS_FILE: [prediction.as_record() for prediction in predictions],
        SCORES_FILE: {name: round(value, _DECIMALS) for name, value in corpus.items()},
        SAMPLE_SCORES_FILE: scores.per_sample(),
    }
    for name, content in contents.items():
        write_json(folder / name, content)
    manifest: dict[str, Any] = {
        "format": _FORMAT,
        "lavis_sam": __version__,
        "dataset": dataset,
        "protocol": scores.protocol,
        "tokenizer": scores.tokenizer,
        "count": len(predictions),
        "corpus": corpus,
        "largest_difference": scores.reported.largest_difference,
        "data": data_fingerprint(predictions),
        "made_by": asdict(provenance or Provenance()),
        "files": {name: sha256_of(folder / name) for name in contents},
    }
    if refused:
        manifest["refused"] = list(refused)
    write_json(folder / MANIFEST_FILE, manifest)
    return _results(folder, manifest)


def read_results(folder: str | os.PathLike[str]) -> Results:
    """Read one data set's folder and check that its files belong together.

    Raises:
        SamDataError: No manifest, a damaged one, or a file that is not the one that the manifest was written for.
    """
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise SamDataError(
            f"{folder}: found no {MANIFEST_FILE}, wanted a finished evaluation. Let it finish; predictions from "
            f"elsewhere become one by `lavis-sam score {folder / PREDICTIONS_FILE} --out {folder}`."
        )
    manifest = read_json(path, remedy=REMEDY, wanted=dict)
    problem = _manifest_problem(manifest)
    if problem:
        raise SamDataError(f"{path}: {problem}. Evaluate or score again.")
    for name, fingerprint in manifest["files"].items():
        if not (folder / name).is_file() or sha256_of(folder / name) != fingerprint:
            raise SamDataError(
                f"{folder / name}: missing, or changed since {MANIFEST_FILE} was written. Restore it, or score "
                f"{PREDICTIONS_FILE} again."
            )
    if set(read_json(folder / SCORES_FILE, remedy=REMEDY, wanted=dict)) != set(manifest["corpus"]):
        raise SamDataError(
            f"{path}: corpus: found {', '.join(manifest['corpus'])}, wanted the metrics of {SCORES_FILE}. Evaluate or "
            "score again."
        )
    return _results(folder, manifest)


def read_run(folder: str | os.PathLike[str], name: str | None = None) -> Run:
    """Read the results of every data set in a run's folder; folders without predictions and scores are passed over.

    Args:
        folder: Holds a folder for each data set; or the folder of a training run, whose test split is meant.
        name: What a person calls it.

    Raises:
        SamDataError: No such folder, no results in it, unfinished or damaged ones, or two of one data set.
    """
    folder = Path(folder)
    run = Run(folder, tuple(read_results(part) for part in _data_set_folders(folder)), name)
    by_title: dict[str, Results] = {}
    for results in run.results:
        other = by_title.setdefault(results.title, results)
        if other is not results:
            raise SamDataError(
                f"{other.folder} and {results.folder} are both results on {results.title}; wanted one in a run. "
                "Move one of them away."
            )
    return run


def _data_set_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SamDataError(f"{folder}: there is no such folder; wanted one with <DATASET>/{MANIFEST_FILE} in it.")
    parts = _parts(folder) or _parts(results_of(folder))
    if not parts:
        raise SamDataError(f"{folder}: found no results, wanted at least one <DATASET>/{MANIFEST_FILE}.")
    return parts


def _parts(folder: Path) -> list[Path]:
    return [part for part in sorted(folder.iterdir()) if _is_data_set_folder(part)]


def _is_data_set_folder(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in (MANIFEST_FILE, PREDICTIONS_FILE, SCORES_FILE))


def predictions_file(path: str | os.PathLike[str], dataset: str | None = None) -> Path:
    """Return the predictions that a path stands for.

    Args:
        path: A file stands for itself; else a data set's folder, a folder of these, or a training run's.
        dataset: Which data set of several; its name or title.

    Raises:
        SamDataError: No results there, or of several data sets where one is wanted.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    parts = [path] if _is_data_set_folder(path) else _data_set_folders(path)
    titles = [part.name for part in parts]
    if dataset is not None:
        parts = [part for part in parts if folder_name(part.name) == folder_name(dataset)]
    if len(parts) != 1:
        raise SamDataError(
            f"{path}: found results on {', '.join(titles)}, wanted one data set"
            f"{f' called {dataset}' if dataset else ''}. Choose it with --dataset."
        )
    return parts[0] / PREDICTIONS_FILE


def check_one_model(run: Path, weights: str, decoding: Mapping[str, Any], protocol: str) -> None:
    """Refuse a run folder with another model's results: a run is one model.

    Raises:
        SamDataError: There are results of other weights, another decoding or another protocol; both sides are named.
    """
    for manifest in sorted(run.glob(f"*/{MANIFEST_FILE}")):
        results = read_results(manifest.parent)
        sides = {
            "weights": (results.made_by.get("weights"), weights),
            "decoding": (results.made_by.get("decoding"), dict(decoding)),
            "protocol": (results.protocol, protocol),
        }
        for what, (then, now) in sides.items():
            if then != now:
                raise SamDataError(
                    f"{manifest.parent} was made with {what} {then}, and this run has {now}; a run folder holds one "
                    "model's results. Give another folder with --out."
                )


def _results(folder: Path, manifest: Mapping[str, Any]) -> Results:
    return Results(
        folder=folder,
        dataset=manifest["dataset"],
        protocol=manifest["protocol"],
        count=manifest["count"],
        corpus={name: float(value) for name, value in manifest["corpus"].items()},
        data=manifest["data"],
        made_by=manifest["made_by"],
        tokenizer=manifest.get("tokenizer", TOKENIZERS[0]),
        refused=tuple(manifest.get("refused", ())),
    )


def _manifest_problem(manifest: Any) -> str | None:
    """Return what is wrong with a manifest, which may come from anywhere."""
    if not isinstance(manifest, dict):
        return f"found a {type(manifest).__name__}, wanted an object"
    if manifest.get("format") != _FORMAT:
        return f"format: found {manifest.get('format')!r}, wanted {_FORMAT}"
    for key in ("dataset", "data"):
        if not isinstance(manifest.get(key), str) or not manifest[key]:
            return f"{key}: found {manifest.get(key)!r}, wanted a text"
    if manifest.get("protocol") not in list(PROTOCOLS):  # the list: what comes from a file may have no hash
        return f"protocol: found {manifest.get('protocol')!r}, wanted one of {', '.join(PROTOCOLS)}"
    if manifest.get("tokenizer", TOKENIZERS[0]) not in list(TOKENIZERS):
        return f"tokenizer: found {manifest['tokenizer']!r}, wanted one of {', '.join(TOKENIZERS)}"
    if type(manifest.get("count")) is not int or manifest["count"] < 1:
        return f"count: found {manifest.get('count')!r}, wanted a positive integer"
    corpus = manifest.get("corpus")
    if not isinstance(corpus, dict) or not corpus or not all(map(_is_score, corpus.values())):
        return f"corpus: found {corpus!r}, wanted a number for each metric"
    if not isinstance(manifest.get("made_by"), dict):
        return f"made_by: found {manifest.get('made_by')!r}, wanted an object"
    refused = manifest.get("refused", [])
    if not isinstance(refused, list) or not all(isinstance(entry, dict) for entry in refused):
        return f"refused: found {refused!r}, wanted a list of objects"
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != {PREDICTIONS_FILE, SCORES_FILE, SAMPLE_SCORES_FILE}:
        return f"files: found {files!r}, wanted fingerprints of {PREDICTIONS_FILE}, {SCORES_FILE}, {SAMPLE_SCORES_FILE}"
    return None


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
