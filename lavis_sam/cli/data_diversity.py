"""`lavis-sam data diversity`: how varied data sets are, beside the numbers of the paper's Table 1."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.terminal import echo


def diversity(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]DIR…", help="Folders with annotations.json (or .jsonl), or shards; or such files."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write a page about them.")] = None,
    num: Annotated[
        int | None, typer.Option("--num", min=1, help="Compare the images of so many samples of each, drawn at random.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON, nothing else.")] = False,
) -> None:
    """Print how varied data sets are, as a Markdown table beside the sets of the paper's Table 1.

    Contexts and near duplicates are compared by perceptual hashes of the images. --json and the page hold more:
    vocabulary, instructions, the samples that are most alike and, of sets that `lavis-sam synthesize` made, attributes,
    scenes and positions.

    \b
    Examples:
      lavis-sam data diversity data/mmlink
      lavis-sam data diversity data/mmlink data/spot_the_diff --num 5000 --out diversity.html
    """
    from lavis_sam.cli.synthesize import need_packages

    need_packages()
    from lavis_sam.datasets.folder import open_samples
    from lavis_sam.files import to_json, write_text
    from lavis_sam.run_layout import named_path
    from lavis_sam.synthesis.judging.diversity import diversity as measure
    from lavis_sam.synthesis.judging.diversity_page import diversity_page
    from lavis_sam.synthesis.judging.sets_table import as_markdown, published_records
    from lavis_sam.synthesis.judging.side_by_side import unique_names

    measured, readers = [], {}
    for name, path in unique_names(map(named_path, folders)).items():
        stored = open_samples(path)
        root = path if path.is_dir() else path.parent
        measured.append(measure(name, stored.annotation, stored.images, root, num))
        numbers = {str(sample.id): number for number, sample in enumerate(stored.annotation)}
        readers[name] = lambda sample, stored=stored, numbers=numbers: stored.images(numbers[sample])
    if out is not None:
        write_text(out, diversity_page(measured, readers))
    if as_json:
        return echo(to_json({"measured": measured, "published": published_records()}))
    echo(as_markdown(measured))
    for found in measured:
        for message in found["unreadable"]:
            echo(f"{found['name']}: not compared: {message}", err=True)
    if out is not None:
        echo(f"wrote {out}", err=True)
