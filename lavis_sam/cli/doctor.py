"""`lavis-sam doctor`: is everything here that a model needs, and is it the right thing?"""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.cli.model_options import (
    Base,
    Checkpoint,
    Device,
    DeviceMap,
    Json,
    LanguageModel,
    Model,
    Precision,
    model_settings,
)
from lavis_sam.terminal import echo, printable_console

if TYPE_CHECKING:
    from lavis_sam.doctor import Report

# Wide enough for paths when the report goes into a file.
_REPORT_WIDTH = 140
_STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "FAILURE": "bold red"}


def doctor(
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    device_map: DeviceMap = None,
    data: Annotated[
        list[str] | None, typer.Option("--dataset", metavar="NAME", help="A data set that has to be here; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check versions, plugin, LAVIS, GPU, memory, weights, tokenizers and data folders for a model.

    Says for each failure what to do, and changes nothing; weights are checked by their headers, so that the real model
    takes seconds. Exit code 0: fit; 1: something failed; 2: the command was wrong.

    \b
    Examples:
      lavis-sam doctor
      lavis-sam doctor --model vicuna7b --dataset mmlink
      lavis-sam doctor --model vicuna7b --base Salesforce/instructblip-vicuna-7b --json > doctor.json
    """
    from lavis_sam.doctor import examine
    from lavis_sam.files import to_json

    # Whatever the libraries say on the way does not belong into the report.
    with contextlib.redirect_stdout(sys.stderr):
        report = examine(
            model,
            base=base,
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            settings=model_settings(llm_model, device_map),
            datasets=data or (),
        )
    if as_json:
        echo(to_json(report.as_dict()))
    else:
        _print(report)
    if not report.is_fit:
        raise typer.Exit(code=1)


def _print(report: "Report") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = printable_console(width=None if sys.stdout.isatty() else _REPORT_WIDTH)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "check", "found"):
        table.add_column(column, overflow="fold")
    area = ""
    for finding in report.findings:
        if finding.area != area:
            table.add_section()
            area = finding.area
        text = Text(finding.found)
        if finding.remedy:
            text.append(f"\n-> {finding.remedy}", style="bold")
        table.add_row(Text(finding.verdict.value, style=_STYLES[finding.verdict.value]), Text(finding.check), text)
    console.print(table)
    console.print(report.summary())
