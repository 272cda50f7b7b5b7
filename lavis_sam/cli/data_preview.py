"""`lavis-sam data preview`: look at a data set."""

from pathlib import Path
from typing import Annotated

import typer


def preview(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds annotations.json (or .jsonl), or shards; or such a file.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page to write; by default preview.html in DIR.")
    ] = None,
    num: Annotated[int, typer.Option(min=1, help="Samples on the page.")] = 50,
    seed: Annotated[int | None, typer.Option(min=0, help="Show samples at random, not the first ones.")] = None,
) -> None:
    """Write a contact sheet: an HTML page with the images, prompts and answers of some samples.

    The page holds everything it shows and loads nothing, so it can be sent to somebody.

    \b
    Examples:
      lavis-sam data preview data/mmlink
      lavis-sam data preview data/mmlink_shards --num 20 --seed 1 --out preview.html
    """
    from lavis_sam.datasets.folder import open_folder
    from lavis_sam.datasets.preview import chosen_samples, contact_sheet
    from lavis_sam.files import write_text

    dataset = open_folder(folder)
    page = out or (folder if folder.is_dir() else folder.parent) / "preview.html"
    chosen = chosen_samples(num, len(dataset), seed)
    write_text(page, contact_sheet(dataset, chosen, title=folder.resolve().name))
    typer.echo(f"wrote {page}: {len(chosen)} sample(s)")
