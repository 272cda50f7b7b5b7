"""`lavis-sam data collect`: from a folder of images to a data set."""

from pathlib import Path
from typing import Annotated

import typer


def collect(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds a folder for each sample.")],
    instruction: Annotated[str, typer.Option("--instruction", help="What the model is asked about each sample.")],
    strict: Annotated[bool, typer.Option("--strict", help="Fail on any problem, instead of dropping samples.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, nothing else, on stdout.")] = False,
) -> None:
    """Make DIR a data set: each folder in it that holds images becomes a sample.

    A sample's images are ordered by name. Its text is in caption.txt beside them, one reference a line; an
    instruction.txt takes the place of --instruction. Writes DIR/annotations.json.

    \b
    Example:
      lavis-sam data collect data/own --instruction "What do these images have in common?"
    """
    from lavis_sam.datasets.annotations import accept, write_annotations
    from lavis_sam.datasets.collect import collect_folder
    from lavis_sam.datasets.formats.reading import UNIFIED_FILES
    from lavis_sam.files import to_json

    report = collect_folder(folder, instruction)
    samples = accept(report, str(folder), strict=strict)
    file = folder / UNIFIED_FILES[0]
    write_annotations(file, samples)
    if as_json:
        typer.echo(to_json({**report.as_dict(), "file": file}))
        return
    for row in report.rows():
        typer.echo(f"dropped {row.records} sample(s): {row.kind}, such as {row.examples[0]}")
    typer.echo(f"wrote {file}: {len(samples)} sample(s)")
