"""An adapter as a folder that can be uploaded to the Hugging Face hub: its card says licence, base and scores."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from lavis_sam.datasets.catalogue import evaluation_set
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.fingerprint import weights_fingerprint
from lavis_sam.evaluation.run_folder import Results, read_run
from lavis_sam.files import to_json, write_text
from lavis_sam.metrics.protocols import METRICS
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.predictor.exporting import export_model
from lavis_sam.run_layout import RESULT_FOLDER, is_run
from lavis_sam.weights.adapters import CARD_FILE, read_adapter_config

TASK = "image-text-to-text"
TAGS = ("image-to-text", "multi-image", "semantic-alignment", "lavis", "lavis_sam")
# Model type -> the base's repository. Of `tiny` the base is drawn at random, of `custom` it is the user's.
BASES = {
    "vicuna7b": "Salesforce/instructblip-vicuna-7b",
    "vicuna13b": "Salesforce/instructblip-vicuna-13b",
}
# The hub's names of metrics, where they are others than ours.
HUB_METRICS = {"bleu4": "bleu"}


def export_hub_folder(
    model: SemanticAlignment,
    out: str | Path,
    *,
    source: str | Path,
    checkpoint: str | Path | None = None,
    results: str | Path | None = None,
    license_id: str | None = None,
) -> dict[str, Any]:
    """Write an adapter with a card that the hub understands.

    Args:
        model: The model, with its weights.
        out: The folder to make; it must not be there.
        source: What the model was loaded from.
        checkpoint: Trained layers that were loaded over it.
        results: A run whose scores the card names. By default the run that `checkpoint` or `source` is the folder of,
            where it was evaluated on its test split.
        license_id: The hub's name of the adapter's licence. By default "other", the licences of the base (whose page is
            linked), or without a base of others this package's own.

    Returns:
        `format`, `path` and `bytes` of what was written, and `scores`, how many of them the card names.

    Raises:
        SamConfigurationError: There is something at `out`.
        SamDataError: The results are unfinished, damaged, or those of other weights.
    """
    out = Path(out)
    check_absent(out)
    found = _read_results(model, results or _own_results(checkpoint or source))
    temporary = out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        export_model(model, temporary, "adapter", source=source, checkpoint=checkpoint)
        card = ModelCard.load(temporary / CARD_FILE)
        model_type = read_adapter_config(temporary).model_type
        vars(card.data).update(_metadata(model_type, license_id, out.name, found))
        card.text = f"{card.text.rstrip()}\n\n{_evaluation(found)}"
        write_text(temporary / CARD_FILE, str(card))
        check_absent(out)
        os.rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    size = sum(path.stat().st_size for path in out.iterdir())
    return {"format": "hub folder", "path": str(out), "bytes": size, "scores": sum(len(one.corpus) for one in found)}


def check_absent(out: Path) -> None:
    """Refuse a place where something is.

    Raises:
        SamConfigurationError: There is something.
    """
    if os.path.lexists(out):
        raise SamConfigurationError(f"--hub-folder {out}: found something there, wanted a folder that is new.")


def _own_results(trained: str | Path) -> Path | None:
    """Return the run's folder that trained layers were given as, if that run was evaluated on its test split."""
    folder = Path(trained).expanduser()
    return folder if is_run(folder) and (folder / RESULT_FOLDER / "test").is_dir() else None


def _read_results(model: SemanticAlignment, run: str | Path | None) -> tuple[Results, ...]:
    if run is None:
        return ()
    found, own = read_run(run).results, weights_fingerprint(model)
    for results in found:
        if results.made_by.get("weights") != own:
            raise SamDataError(
                f"{results.folder}: these results were made with the weights {results.made_by.get('weights')!r}, and "
                f"this model has {own!r}. Evaluate this model, or export the one that was evaluated, with the same "
                "--precision."
            )
    return found


def _metadata(model_type: str, license_id: str | None, name: str, found: tuple[Results, ...]) -> dict[str, Any]:
    """Return keys of the card; those that are None are left out."""
    base = BASES.get(model_type)
    is_others = license_id is None and model_type != "tiny"
    return {
        "license": license_id or ("other" if is_others else "bsd-3-clause"),
        "license_name": "licences-of-the-base" if is_others else None,
        "license_link": f"https://huggingface.co/{base}" if is_others and base else None,
        "base_model": base,
        "base_model_relation": "adapter" if base else None,
        "pipeline_tag": TASK,
        "tags": list(TAGS),
        "model_name": name if found else None,
        "eval_results": [result for results in found for result in _eval_results(results)] or None,
    }


def _eval_results(results: Results) -> Iterator[EvalResult]:
    known = evaluation_set(results.dataset)
    for metric, value in results.corpus.items():
        yield EvalResult(
            task_type=TASK,
            task_name=known.benchmark if known else None,
            dataset_type=results.dataset,
            dataset_name=results.title,
            dataset_split=results.made_by.get("split"),
            metric_type=HUB_METRICS.get(metric, metric),
            metric_name=_title(metric),
            metric_value=round(value, 2),
            metric_args={"protocol": results.protocol, "tokenizer": results.tokenizer},
        )


def _title(metric: str) -> str:
    return METRICS[metric].title if metric in METRICS else metric


def _evaluation(found: tuple[Results, ...]) -> str:
    """Return the card's section on scores."""
    if not found:
        return "## Evaluation\n\nNone is given with this adapter.\n"
    lines = ["| data set | split | samples | protocol | metric | score, x100 |", "|---|---|---|---|---|---|"]
    for results in found:
        place = f"{results.title} | {results.made_by.get('split')} | {results.count} | {results.protocol}"
        lines += [f"| {place} | {_title(metric)} | {value:.2f} |" for metric, value in results.corpus.items()]
    decoding: list[Mapping[str, Any] | None] = []
    for results in found:
        if (one := results.made_by.get("decoding")) not in decoding:
            decoding.append(one)
    said = ["", "Decoding: " + "; ".join(f"`{to_json(one, indent=None)}`" for one in decoding)]
    return "\n".join(["## Evaluation", "", *lines, *said]) + "\n"
