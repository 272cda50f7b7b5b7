"""`lavis-sam score`: how good are these predictions?"""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.metrics.predictions import Prediction
    from lavis_sam.metrics.protocols import Scores
    from lavis_sam.metrics.resampling import Interval
_Predictions = Annotated[
    Path,
    typer.Argument(
        metavar="PRED",
        help='A list of {"sample_id", "pred_response", "gt_response"}, "references" optional; or a run\'s folder.',
    ),
]
_Protocol = Annotated[
    str, typer.Option(help="sam: the paper's way; coco: the field's standard, with several references.")
]
_Tokenizer = Annotated[
    str, typer.Option(help="How coco finds words: python; stanford: Stanford's program, which needs Java.")
]
_Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The data set (unified format) whose samples these must be, all of them."),
]
_Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Also write the folder of a data set in a run, for `lavis-sam table`."),
]
_Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace results of other predictions in the folder of --out.")
]
_Dataset = Annotated[
    str | None,
    typer.Option(help="The data set's name with --out, else the folder's; or which one of a run with several."),
]


def score(
    predictions: _Predictions,
    protocol: _Protocol = "sam",
    tokenizer: _Tokenizer = "python",
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON, nothing else, on stdout.")] = False,
    data: _Data = None,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples of the intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    out: _Out = None,
    overwrite: _Overwrite = False,
    dataset: _Dataset = None,
) -> None:
    """Score predictions: ROUGE-L, CIDEr and BLEU-4, x100.

    The scores are those of the packages rouge and pycocoevalcap; ours, which the intervals and the samples' scores come
    from, are compared with them. The table has 95 % bootstrap intervals; --json has the unrounded corpus scores, the
    largest difference between the two, and the scores of every sample (not x100).

    \b
    Examples:
      lavis-sam score pred.json
      lavis-sam score output/sam/tiny/mine --protocol coco
      lavis-sam score pred.json --protocol coco --json > scores.json
      lavis-sam score pred.json --protocol coco --data data/spot_the_diff
      lavis-sam score elsewhere/pred.json --out runs/theirs/AESOP
    """
    from lavis_sam.evaluation.run_folder import Provenance, predictions_file, write_results
    from lavis_sam.files import to_json
    from lavis_sam.metrics import protocols
    from lavis_sam.metrics.predictions import read_predictions
    from lavis_sam.metrics.resampling import intervals

    predictions = predictions_file(predictions, dataset)
    read = read_predictions(predictions)
    if data is not None:
        read = _of_data_set(read, str(predictions), data)
    if out is not None and not overwrite:
        _check_place(out, read)
    scores = protocols.score(read, protocol, tokenizer)
    if out is not None:
        name = dataset or out.resolve().name
        write_results(out, read, scores, dataset=name, provenance=Provenance(model=str(predictions)))
    if as_json:
        echo(to_json(scores.as_dict()))
        return
    _print(predictions, scores, intervals(scores, resamples=resamples, seed=seed) if resamples else {})
    if out is not None:
        echo(f"written to {out}")


def _check_place(out: Path, read: "list[Prediction]") -> None:
    """Refuse a folder that holds other predictions; the same ones may be scored again."""
    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.evaluation.run_folder import PREDICTIONS_FILE
    from lavis_sam.metrics.predictions import read_predictions

    earlier = out / PREDICTIONS_FILE
    if earlier.is_file() and [one.as_record() for one in read_predictions(earlier)] != [
        one.as_record() for one in read
    ]:
        raise SamConfigurationError(
            f"--out {out}: there are results of other predictions. Give another folder, or --overwrite."
        )


def _of_data_set(read: "list[Prediction]", name: str, data: Path) -> "list[Prediction]":
    """Return the predictions with the data set's references; refuses those of other samples."""
    from lavis_sam.datasets.folder import open_folder
    from lavis_sam.metrics.predictions import Prediction, of_samples

    with contextlib.redirect_stdout(sys.stderr):
        samples = open_folder(data).annotation
    wanted = [Prediction(sample.id, "", sample.output, sample.references) for sample in samples]
    return of_samples(read, wanted, names=(name, str(data)))


def _print(path: Path, scores: "Scores", intervals: "dict[str, Interval]") -> None:
    from lavis_sam.cli.score_tables import print_table
    from lavis_sam.metrics.protocols import METRICS

    words = ", Stanford's tokens" if scores.tokenizer == "stanford" else ""
    echo(f"{path}: {len(scores.ids)} samples, protocol {scores.protocol}{words}")
    rows = []
    for metric, value in scores.reported.corpus.items():
        interval = [f"{intervals[metric].low:.2f} to {intervals[metric].high:.2f}"] if intervals else []
        rows.append((METRICS[metric].title, f"{value:.2f}", *interval))
    print_table(("x100", "score", *(["95 % interval"] if intervals else [])), rows)
