"""`lavis-sam data stats` and `lavis-sam data preview`: what is in a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.datasets.statistics import DatasetStatistics

_BAR = 40
_WIDTH = 100  # where standard output is no terminal
_Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Holds annotations.json (or .jsonl), or shards; or such a file.")
]


def stats(
    folder: _Folder,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples in a batch of all processes, for the padding.")] = 20,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the figures to this PNG file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON, nothing else, on stdout.")
    ] = False,
) -> None:
    """Count samples and images, show the numbers of images and the lengths of texts, and what padding costs.

    Padding is what batches hold beyond their samples. `run.batching: bucketed` puts samples of like size together.

    \b
    Examples:
      lavis-sam data stats data/mmlink
      lavis-sam data stats data/mmlink_shards --batch-size 8 --plot output/mmlink.png
      lavis-sam data stats data/mmlink --json > stats.json
    """
    from lavis_sam.datasets.folder import open_samples
    from lavis_sam.datasets.statistics import dataset_statistics, draw_statistics
    from lavis_sam.files import to_json

    dataset = open_samples(folder)
    figures = dataset_statistics(dataset, batch_size=batch_size)
    if plot is not None:
        from lavis_sam.plotting import save_png

        save_png(draw_statistics(dataset, figures), plot)
    if as_json:
        echo(to_json(figures.as_dict()))
    else:
        _print(figures)
        if plot is not None:
            echo(f"wrote {plot}")


def preview(
    folder: _Folder,
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
    from lavis_sam.datasets.folder import open_samples
    from lavis_sam.datasets.preview import chosen_samples, contact_sheet
    from lavis_sam.files import write_text

    dataset = open_samples(folder)
    page = out or (folder if folder.is_dir() else folder.parent) / "preview.html"
    chosen = chosen_samples(num, len(dataset), seed)
    write_text(page, contact_sheet(dataset, chosen, title=folder.resolve().name))
    echo(f"wrote {page}: {len(chosen)} sample(s)")


def _print(figures: "DatasetStatistics") -> None:
    from lavis_sam.cli.score_tables import print_table

    echo(f"{figures.samples} samples, {figures.images} images ({figures.distinct_images} different ones)")
    most = max(figures.images_per_sample.values())
    bars = [
        (str(number), str(count), "█" * max(1, round(_BAR * count / most)))
        for number, count in figures.images_per_sample.items()
    ]
    print_table(("images", "samples", ""), bars, left=("",), width=_WIDTH)
    named = {
        "words of the instruction": figures.instruction_words,
        "words of the answer": figures.output_words,
        "references": figures.references,
    }
    spreads = [(name, str(s.smallest), f"{s.median:g}", f"{s.mean:.1f}", str(s.largest)) for name, s in named.items()]
    print_table(("of a sample", "smallest", "median", "mean", "largest"), spreads, width=_WIDTH)
    parts = {**figures.padding, "saved by bucketing": figures.saved}
    padding = [(name, f"{part.images:.1%}", f"{part.characters:.1%}") for name, part in parts.items()]
    print_table((f"padding, batches of {figures.batch_size}", "images", "text"), padding, width=_WIDTH)
