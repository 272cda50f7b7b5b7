"""The data sets of `lavis-sam data export vlmevalkit`, scored under our protocols."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from vlmeval.dataset.image_base import ImageBaseDataset
from vlmeval.smp import LMUDataRoot

from lavis_sam.datasets.exchange.vlmevalkit import SAMPLE_COLUMN
from lavis_sam.errors import SamDataError
from lavis_sam.evaluators.scoring import NAMES, as_prediction, corpus_score
from lavis_sam.files import write_json


class ExportedDataset(ImageBaseDataset):
    """Samples of ours; VLMEvalKit finds a data set by the names that its classes say."""

    TYPE = "VQA"
    DEFAULT_JUDGE = "none"

    @classmethod
    def supported_datasets(cls) -> list[str]:
        """Return the names of the files in LMUData's folder that our export wrote."""
        return [path.stem for path in sorted(Path(LMUDataRoot()).glob("*.tsv")) if _is_ours(path)]

    def load_data(self, dataset: str) -> Any:
        """Return the table of a data set."""
        return _read_table(Path(LMUDataRoot()) / f"{dataset}.tsv", dtype=str)

    def evaluate(self, eval_file: str, **judge_kwargs: Any) -> Any:
        """Score the answers, and write them beside `eval_file` as `*_predictions.json`, for `lavis-sam score`.

        Args:
            eval_file: The table of a data set with the column `prediction`, which VLMEvalKit adds.
            judge_kwargs: For a judge; there is none.

        Returns:
            One row of scores, x100, named as in `scoring.NAMES`.

        Raises:
            SamDataError: The table lacks its samples; or see `lavis_sam.metrics.protocols.score`.
        """
        place = Path(eval_file)
        table = _read_table(place, dtype=str)
        if SAMPLE_COLUMN not in table:
            raise SamDataError(f"{place}: found no column {SAMPLE_COLUMN}; export the data set and run it again.")
        samples = map(json.loads, table[SAMPLE_COLUMN])
        records = [as_prediction(*pair) for pair in zip(samples, table["prediction"], strict=True)]
        write_json(place.with_name(f"{place.stem}_predictions.json"), records, indent=1)
        scores = {name: corpus_score(records, name) for name in NAMES}
        write_json(place.with_name(f"{place.stem}_scores.json"), scores)
        return pd.DataFrame([scores])


def exact_load(load: Callable[..., Any]) -> Callable[..., Any]:
    """Return VLMEvalKit's `load`, but with answers as they were given.

    Its own makes a number of "07" and nothing of "" and "NA", and with these it would go on in a run that was stopped.
    """

    def loaded(path: str, *arguments: Any, **options: Any) -> Any:
        if str(path).endswith(".tsv"):
            return _read_table(Path(path), dtype={"prediction": str})
        return load(path, *arguments, **options)

    return loaded


def _read_table(path: Path, dtype: Any) -> Any:
    return pd.read_csv(path, sep="\t", dtype=dtype, keep_default_na=False)


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return SAMPLE_COLUMN.encode() in file.readline(4096).rstrip().split(b"\t")
