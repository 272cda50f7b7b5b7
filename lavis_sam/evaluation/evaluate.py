"""The one way to evaluate: any model answers a data set, its answers are scored, and a run folder keeps both."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis_sam import distributed
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.fingerprint import samples_fingerprint
from lavis_sam.evaluation.generation_loop import generate_records
from lavis_sam.evaluation.model import EvaluationModel
from lavis_sam.evaluation.prediction_log import Record, open_prediction_log
from lavis_sam.evaluation.run_folder import DEFAULT_PROTOCOL, Provenance, Results, write_results
from lavis_sam.memory import naming_dead_worker
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import score
from lavis_sam.signals import StopRequest

logger = logging.getLogger(__name__)


def evaluate(
    dataset: MultiImageDataset,
    model: EvaluationModel,
    folder: str | Path,
    *,
    name: str,
    split: str = "test",
    prompts: Any = None,
    batch_size: int = 1,
    max_bytes: int | None = None,
    protocol: str = DEFAULT_PROTOCOL,
    stop: StopRequest | None = None,
    **options: Any,
) -> Results | None:
    """Have a data set answered and scored; what was answered before, in the same folder, is not asked again.

    Args:
        dataset: The samples; its `annotation` and `images(index)` are used.
        max_bytes: See `EvaluationLoader`.
        options: Of `torch.utils.data.DataLoader`: `num_workers`, `pin_memory`.

    Returns:
        The results on rank 0, None on other processes.

    Raises:
        SamError: Data that cannot be scored, a sample that cannot be answered, or earlier answers of something else.
        RunStopped: `stop` said so; starting again continues.
    """
    loader = EvaluationLoader(
        dataset, batch_size, max_bytes=max_bytes, item=model.read, collate=model.collate, **options
    )
    with naming_dead_worker():
        records, described = answer_samples(loader, model, folder, name=name, protocol=protocol, stop=stop)
    if not distributed.is_main_process():
        return None
    provenance = model.provenance(described, split=split, prompts=prompts)
    return write_scored(Path(folder), records, dataset=name, protocol=protocol, provenance=provenance)


def answer_samples(
    loader: EvaluationLoader,
    model: EvaluationModel,
    folder: str | Path | None,
    *,
    name: str,
    protocol: str = DEFAULT_PROTOCOL,
    restart: bool = False,
    stop: StopRequest | None = None,
) -> tuple[list[Record], Mapping[str, Any]]:
    """Have every sample of a data set answered once; all processes together.

    Args:
        loader: The batches that `model` takes.
        folder: The data set's folder of a run, where answers are kept as they come, and where an interrupted evaluation
            is continued; None keeps nothing.
        protocol: How the answers are to be scored; data that it cannot score are refused before anything is answered.
        restart: Throw earlier answers of something else away instead of refusing them.

    Returns:
        On rank 0 the records of all samples, in the data set's order (elsewhere none); and what the answers depend on.

    Raises:
        SamError: See `evaluate`.
        RunStopped: See `evaluate`.
    """
    if loader.samples:
        check_scorable(loader.samples, protocol)
    loader.measure(getattr(model, "memory", None))
    fingerprint = _fingerprint(loader, model) if folder is not None else {}
    records = generate_records(
        loader,
        model.records,
        folder=Path(folder) if folder is not None else None,
        fingerprint=fingerprint,
        restart=restart,
        stop=stop,
        title=name,
    )
    return records, fingerprint


def check_answers(
    loader: EvaluationLoader, model: EvaluationModel, folder: Path, *, protocol: str = DEFAULT_PROTOCOL
) -> None:
    """Refuse what `answer_samples` would refuse, before anything is written; all processes together.

    Raises:
        SamError: See `evaluate`.
    """
    if loader.samples:
        check_scorable(loader.samples, protocol)
    loader.measure(getattr(model, "memory", None))
    open_prediction_log(folder, _fingerprint(loader, model), count=len(loader.dataset))


def _fingerprint(loader: EvaluationLoader, model: EvaluationModel) -> Mapping[str, Any]:
    """Return what the answers depend on, as rank 0 sees it."""
    fingerprint: Mapping[str, Any] = {}
    if distributed.is_main_process():
        root = getattr(loader.dataset, "vis_root", None)
        data = samples_fingerprint(loader.samples, root) if loader.samples else len(loader.dataset)
        fingerprint = {**model.describe(), "data": data}
    return distributed.from_main(fingerprint)


def prediction_of(record: Mapping[str, Any]) -> Prediction:
    """Return the prediction that a record is, with `sample_id`, `pred_response`, `gt_response`, `references`.

    Half characters (lone surrogates), which no file can hold, become question marks.
    """
    text = record["pred_response"].encode(errors="replace").decode()
    truth = record["gt_response"]
    return Prediction(record["sample_id"], text, truth, tuple(record.get("references") or (truth,)))


def check_scorable(samples: Iterable[MultiImageSample], protocol: str = DEFAULT_PROTOCOL) -> None:
    """Find out before anything is answered whether the answers can be scored.

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
) -> Results:
    """Score the answers to a data set and write its four files; see `lavis_sam.evaluation.run_folder`.

    Raises:
        SamDataError: No answer, two of one sample, or a reference of which the protocol leaves nothing.
    """
    predictions = [prediction_of(record) for record in records]
    refused = [{"sample_id": one["sample_id"], "reason": one["refused"]} for one in records if one.get("refused")]
    empty = sum(not prediction.text.strip() for prediction in predictions) - len(refused)
    if empty:
        logger.warning("%s: %d of %d answers are empty, and score 0", dataset, empty, len(predictions))
    scores = score(predictions, protocol)
    return write_results(folder, predictions, scores, dataset=dataset, provenance=provenance, refused=refused)
