"""`lavis-sam table`: measured results beside the paper's."""

from typing import Annotated

import typer

from lavis_sam.terminal import echo


def table(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]RUN…", help="Folders of runs, or with <DATASET>/manifest.json; a model each, and its name."
        ),
    ] = None,
    wanted: Annotated[
        list[str] | None,
        typer.Option(
            "--table", help="2a, 2b, 3 or 4; may be repeated. Else the tables that the runs have data sets of."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON, nothing else, on stdout.")] = False,
) -> None:
    """Print result tables as Markdown: measured rows beside the paper's, each row saying which it is.

    Averages are the paper's, over all data sets of a task. Without a RUN the published numbers stand alone. A row is
    called NAME, or else by the run's job id or folder. Results on the same samples and references stand in one column,
    whatever the data were called. Runs of different protocols, or on different data, do not go into one table.

    \b
    Examples:
      lavis-sam table runs/sam runs/instructblip
      lavis-sam table "2 images"=output/sam/tiny/first "4 images"=output/sam/tiny/second
      lavis-sam table runs/* --table 3 --json > ablation.json
      lavis-sam table --table 2b
    """
    from lavis_sam.evaluation.run_folder import read_run
    from lavis_sam.files import to_json
    from lavis_sam.reports.tables import result_tables
    from lavis_sam.run_layout import named_path

    named = [named_path(run) for run in runs or ()]
    tables = result_tables([read_run(folder, name) for name, folder in named], wanted or ())
    if as_json:
        echo(to_json({"tables": [entry.as_dict() for entry in tables]}))
    else:
        echo("\n".join(entry.as_markdown() for entry in tables), nl=False)
