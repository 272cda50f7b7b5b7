"""`lavis-sam parity`: is this installation's model the authors' model?"""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.parity.report import Report

# Wide enough for the longest parameter name when the table goes into a file.
_REPORT_WIDTH = 140
_STYLES = {"pass": "green", "FAIL": "bold red"}


def parity(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Holds tok/ and, for each case, a .json and two .safetensors."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, nothing else, on stdout.")] = False,
) -> None:
    """Compare the model with stored results of the authors' code.

    Builds the model of every case in FOLDER, gives it the case's weights, and compares features, adaptive weights,
    visual tokens, losses, gradients and generated tokens. Exit code 0: all are close enough; 1: something differs;
    2: the folder cannot be used.

    \b
    Examples:
      lavis-sam parity tests/parity/fixtures
      lavis-sam parity tests/parity/fixtures --json > parity.json
    """
    from lavis_sam.files import to_json
    from lavis_sam.parity.report import run_folder

    # Whatever the libraries say on the way does not belong into the report.
    with contextlib.redirect_stdout(sys.stderr):
        report = run_folder(folder)
    if as_json:
        echo(to_json(report.as_dict()))
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(code=1)


def _print(report: "Report") -> None:
    from rich.text import Text

    from lavis_sam.cli.score_tables import print_table

    heads = ("array", "max difference", "tolerance", "verdict")
    for case in report.cases:
        rows = [
            (
                row.array,
                "-" if row.difference is None else f"{row.difference:.2e}",
                "equal" if row.tolerance is None else f"{row.tolerance:.2e}",
                Text(f"{row.verdict}: {row.note}" if row.note else row.verdict, style=_STYLES.get(row.verdict, "dim")),
            )
            for row in case.comparisons
        ]
        print_table(heads, rows, f"case {case.name}", left=("array", "verdict"), width=_REPORT_WIDTH)
    echo(report.summary())
