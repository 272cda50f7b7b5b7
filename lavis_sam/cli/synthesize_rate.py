"""`lavis-sam synthesize-rate` and `lavis-sam synthesize-agreement`: people rate, and checks are measured by it."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.cli.synthesize import need_packages, read_settings
from lavis_sam.terminal import echo


def synthesize_rate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `lavis-sam synthesize` made.")],
    num: Annotated[int, typer.Option("--num", min=1, help="Samples on the page.")] = 100,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Which samples; raters that are compared get one page.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page to write; by default DIR/rate.html.")
    ] = None,
) -> None:
    """Write a page on which a person rates random samples of a synthesised data set, with one key each.

    The page holds everything it shows and loads nothing, so it can be sent to anybody. The ratings stay in the browser
    until they are downloaded as a JSON file, for `lavis-sam synthesize-agreement`.

    \b
    Example:
      lavis-sam synthesize-rate data/mmlink --num 200
    """
    need_packages()
    from lavis_sam.synthesis.judging.rating_page import write_rating_page

    path = out or folder / "rate.html"
    count = write_rating_page(folder, path, num=num, seed=seed)
    echo(f"{path}: {count} samples")


def synthesize_agreement(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The data set that was rated.")],
    ratings: Annotated[list[Path], typer.Argument(metavar="RATINGS…", help="The downloaded files, one a rater.")],
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="NAME|FILE", help="Judge the thresholds of this configuration, not those of DIR."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where both files go; by default DIR.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, nothing else.")] = False,
) -> None:
    """Say how far raters agree, and how well each automatic check finds the samples that they call bad.

    Writes agreement.html and agreement.json: Cohen's kappa of each two raters; precision and recall of each check at
    its threshold, and over all thresholds. Checks that have refused samples already cannot be judged by what is left:
    rate a set that was made without thresholds, and name them with --config.

    \b
    Examples:
      lavis-sam synthesize-agreement data/mmlink ratings_ada.json ratings_ben.json
      lavis-sam synthesize-agreement data/all_tries ratings_*.json --config mmlink
    """
    need_packages()
    from lavis_sam.files import to_json
    from lavis_sam.synthesis.judging.agreement_page import DATA, PAGE, judge, write_agreement

    limits = None if config is None else read_settings(config, None).quality
    found = judge(folder, ratings, limits)
    target = out or folder
    write_agreement(target, found)
    if as_json:
        return echo(to_json(found))
    for pair in found["agreement"]:
        value = "not defined" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
        echo(f"{' and '.join(pair['raters'])}, {pair['aspect']}: kappa {value} on {pair['samples']} samples")
    echo(f"{target / PAGE}\n{target / DATA}")
