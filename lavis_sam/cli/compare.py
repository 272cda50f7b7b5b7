"""`lavis-sam compare`: is one model better than another, or is it chance?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.reports.comparison import Comparison


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="One model's pred.json, or the folder of its run.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another model's, for the same samples.")],
    protocol: Annotated[str, typer.Option(help="sam or coco, see `lavis-sam score --help`.")] = "sam",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else, on stdout.")] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples, and exchanges of the test.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and exchanges.")] = 0,
    dataset: Annotated[str | None, typer.Option(help="The data set to compare on, if a folder has several.")] = None,
) -> None:
    """Compare the predictions of two models sample by sample.

    For each metric: both scores, their difference (B minus A) with a 95 % paired bootstrap interval, and the p-value of
    a permutation test. Both must hold the same samples with the same references. Of a run's folder, the predictions on
    the test split are compared.

    \b
    Examples:
      lavis-sam compare runs/instructblip/AESOP/pred.json runs/sam/AESOP/pred.json
      lavis-sam compare output/sam/tiny/first output/sam/tiny/second
      lavis-sam compare a.json b.json --protocol coco --resamples 10000 --json
    """
    from lavis_sam.evaluation.run_folder import predictions_file
    from lavis_sam.files import to_json
    from lavis_sam.metrics.predictions import read_predictions
    from lavis_sam.reports import comparison

    result = comparison.compare(
        read_predictions(predictions_file(first, dataset)),
        read_predictions(predictions_file(second, dataset)),
        names=(str(first), str(second)),
        protocol=protocol,
        resamples=resamples,
        seed=seed,
    )
    if as_json:
        echo(to_json(result.as_dict()))
    else:
        _print(result)


def _print(result: "Comparison") -> None:
    from lavis_sam.cli.score_tables import print_table
    from lavis_sam.metrics.protocols import METRICS

    echo(f"A: {result.names[0]}\nB: {result.names[1]}\n{result.count} samples, protocol {result.protocol}")
    rows = [
        (
            METRICS[metric].title,
            f"{row.first:.2f}",
            f"{row.second:.2f}",
            f"{row.difference:+.2f}",
            f"{row.interval.low:+.2f} to {row.interval.high:+.2f}",
            f"{row.p_value:.4f}",
        )
        for metric, row in result.metrics.items()
    ]
    print_table(("x100", "A", "B", "B - A", "95 % interval", "p"), rows)
