"""From answers to predictions, scores, and the files of a run folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.datasets.catalogue import evaluation_set
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.run_folder import Provenance, Results, write_results
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import Scores, score

DEFAULT_PROTOCOL = "sam"


def folder_name(dataset: str) -> str:
    """What a data set's folder in a run is called: its title in the paper's tables, else its name."""
    known = evaluation_set(dataset)
    return known.title if known else dataset


def prediction_of(record: Mapping[str, Any]) -> Prediction:
    """The prediction that a record of an answer is, with `sample_id`, `pred_response`, `gt_response`, `references`.

    Half characters (lone surrogates), which no file can hold, become question marks.
    """
    text = record["pred_response"].encode(errors="replace").decode()
    truth = record["gt_response"]
    return Prediction(record["sample_id"], text, truth, tuple(record.get("references") or (truth,)))


def check_scorable(samples: Iterable[MultiImageSample], protocol: str = DEFAULT_PROTOCOL) -> None:
    """Find out before anything is answered whether the answers can be scored.

    Args:
        samples: At least one.
        protocol: "sam" or "coco".

    Raises:
        SamConfigurationError: No such protocol.
        SamDataError: No sample, two of one id, or a reference of which the protocol leaves nothing; by name.
    """
    score([Prediction(sample.id, "", sample.output, sample.references) for sample in samples], protocol)


def write_scored(
    folder: Path,
    records: Sequence[Mapping[str, Any]],
    *,
    dataset: str,
    protocol: str = DEFAULT_PROTOCOL,
    provenance: Provenance | None = None,
) -> tuple[Results, Scores]:
    """Score the answers to a data set and write its four files; see `lavis_sam.evaluation.run_folder`.

    Args:
        folder: The data set's folder.
        records: One for each sample; see `prediction_of`.
        dataset: The data set's name.
        protocol: "sam" or "coco".
        provenance: How the answers were made.

    Raises:
        SamDataError: No answer, two of one sample, or a reference of which the protocol leaves nothing.
    """
    predictions = [prediction_of(record) for record in records]
    scores = score(predictions, protocol)
    return write_results(folder, predictions, scores, dataset=dataset, provenance=provenance), scores
