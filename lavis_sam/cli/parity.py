"""`lavis-sam parity`: is this installation's model the authors' model?"""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.terminal import echo, printable_console

if TYPE_CHECKING:
    from lavis_sam.parity.report import Report

# Wide enough for the longest parameter name when the table goes into a file.
_REPORT_WIDTH = 140


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
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = printable_console(width=None if sys.stdout.isatty() else _REPORT_WIDTH)
    for case in report.cases:
        table = Table(title=f"case {case.name}", title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("array", overflow="fold")
        table.add_column("max difference", justify="right")
        table.add_column("tolerance", justify="right")
        table.add_column("verdict", overflow="fold")
        for row in case.comparisons:
            style = {"pass": "green", "FAIL": "bold red"}.get(row.verdict, "dim")
            table.add_row(
                Text(row.array),
                "-" if row.difference is None else f"{row.difference:.2e}",
                "equal" if row.tolerance is None else f"{row.tolerance:.2e}",
                Text(f"{row.verdict}: {row.note}" if row.note else row.verdict, style=style),
            )
        console.print(table)
    console.print(report.summary())
