"""`lavis-sam data`: data sets into the unified format and out of it, and whether they are whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from lavis_sam.cli.data_diversity import diversity
from lavis_sam.cli.data_inspect import preview, stats
from lavis_sam.cli.data_join import join
from lavis_sam.cli.data_shards import shards
from lavis_sam.cli.data_split import split
from lavis_sam.datasets.catalogue import CATALOGUE
from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.datasets.image_check import Check
    from lavis_sam.datasets.problems import AnnotationReport

# Wide enough for most places and messages when the table goes into a file.
_REPORT_WIDTH = 140
_CHECK_FAILED = 1

_HELP = """Make, check, import and export data sets.

\b
Example:
  lavis-sam data validate data/own
"""
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_HELP)
for _command in (split, join, shards, stats, preview, diversity):
    app.command()(_command)

_FormatName = Annotated[str, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(CATALOGUE)}.")]
_Annotations = Annotated[
    Path, typer.Option("--annotations", metavar="PATH", help="The annotation file, or the folder that holds them.")
]
_Images = Annotated[Path, typer.Option("--images", metavar="DIR", help="The folder that the images are under.")]
_Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write; it may exist.")]
_Strict = Annotated[bool, typer.Option("--strict", help="Fail on any problem, instead of dropping bad samples.")]
_Quick = Annotated[
    bool, typer.Option("--quick", help="Look at header, size and end of the images instead of decoding each one.")
]
_Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="What a format lets one choose, such as group_size=4 for NICO."),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON, nothing else, on stdout.")]


@app.command()
def collect(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds a folder for each sample.")],
    instruction: Annotated[str, typer.Option("--instruction", help="What the model is asked about each sample.")],
    strict: _Strict = False,
    as_json: _AsJson = False,
) -> None:
    """Make DIR a data set: each folder in it that holds images becomes a sample.

    A sample's images are ordered by name. Its text is in caption.txt beside them, one reference a line; an
    instruction.txt takes the place of --instruction. Writes DIR/annotations.json.

    \b
    Example:
      lavis-sam data collect data/own --instruction "What do these images have in common?"
    """
    from lavis_sam.datasets.annotations import usable_samples, write_annotations
    from lavis_sam.datasets.collect import collect_folder
    from lavis_sam.datasets.formats.reading import UNIFIED_FILES
    from lavis_sam.files import to_json

    report = collect_folder(folder, instruction)
    samples = usable_samples(report, str(folder), strict=strict)
    file = folder / UNIFIED_FILES[0]
    write_annotations(file, samples)
    if as_json:
        echo(to_json({**report.as_dict(), "file": file}))
        return
    for line in report.lines():
        echo(line)
    echo(f"wrote {file}: {len(samples)} sample(s)")


@app.command()
def convert(
    format_: _FormatName,
    annotations: _Annotations,
    images: _Images,
    out: _Out,
    split: Annotated[str | None, typer.Option(help="train, val or test; without it, all splits.")] = None,
    prompt_set: Annotated[
        str, typer.Option(help="Instructions: default, published where there is one, or demon.")
    ] = "default",
    option: _Options = None,
    strict: _Strict = False,
    quick: _Quick = False,
    as_json: _AsJson = False,
) -> None:
    """Convert a data set, as its authors released it, to the unified format.

    Writes DIR/annotations.json, with the references joined in `output` and one by one in `references`; several splits
    get an annotations.<split>.json each as well. Image paths are valid from DIR: images that are not below it are
    put into DIR/images, as hard links where the file system can, else as copies. Bad samples are dropped and counted.

    \b
    Examples:
      lavis-sam data convert vist --annotations sis --images images --out data/vist
      lavis-sam data convert nico_animal --annotations NICO --images NICO --out data/animal --option group_size=4
    """
    from lavis_sam.datasets.folder import write_folder
    from lavis_sam.datasets.formats.reading import read_dataset

    # The annotations.json of an earlier conversion into the release's own folder is not what is to be converted.
    in_place = annotations.is_dir() and out.exists() and annotations.samefile(out)
    report = read_dataset(
        format_,
        annotations,
        images,
        split=split,
        form="release" if in_place else "auto",
        prompt_set=prompt_set,
        check=_check(quick),
        options=_parsed(option),
    )
    _refuse(report, strict=strict, as_json=as_json)
    files = write_folder(report.samples, report.splits, images, out)
    _show(report, as_json=as_json, files={str(out / name): count for name, count in files.items()})


@app.command()
def validate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds annotations.json (or .jsonl), or shards; or such a file.")
    ],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The root of the image paths, if it is not DIR.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="DIR is the release of this data set.")
    ] = None,
    option: _Options = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the whole samples to this file.")] = None,
    strict: _Strict = False,
    quick: _Quick = False,
    as_json: _AsJson = False,
) -> None:
    """Check every sample and every image of a data set, and show all that is wrong in one table.

    Of shards, the checksums are compared as well. Exit code 0: a run can use it (bad samples are dropped, as a run
    does); 1: there is a problem and --strict was given, or nothing is left; 2: there is no such data set.

    \b
    Examples:
      lavis-sam data validate data/mmlink
      lavis-sam data validate data/mmlink_shards --strict --json > report.json
      lavis-sam data validate spot_the_diff/annotations --format spot_the_diff --images spot_the_diff/images
    """
    from lavis_sam.datasets.annotations import scan_annotations, write_annotations
    from lavis_sam.datasets.folder import annotation_file, is_sharded
    from lavis_sam.datasets.formats.reading import read_dataset

    root = images or (folder if folder.is_dir() else folder.parent)
    if format_ is not None:
        report = read_dataset(format_, folder, root, check=_check(quick), options=_parsed(option))
    elif is_sharded(folder):
        report = _scanned_shards(folder, check=_check(quick), images_elsewhere=out is not None or images is not None)
    else:
        report = scan_annotations(annotation_file(folder), root, check=_check(quick))
    failed = not report.usable or (strict and bool(report.problems))
    files = {}
    if out is not None and not failed:
        write_annotations(out, report.samples)
        files = {str(out): len(report.samples)}
    _show(report, as_json=as_json, files=files, valid=not failed)
    if failed:
        raise typer.Exit(_CHECK_FAILED)


@app.command("import")
def import_(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="mantis, m4_instruct or demon.")],
    annotations: _Annotations,
    images: _Images,
    out: _Out,
    strict: _Strict = False,
    quick: _Quick = False,
    as_json: _AsJson = False,
) -> None:
    """Bring a data set of another project into the unified format.

    Writes DIR/annotations.json and, for images that are not below DIR, DIR/images, as `convert` does.

    \b
    Example:
      lavis-sam data import mantis --annotations train.json --images images --out data/mantis
    """
    from lavis_sam.datasets.exchange import import_dataset
    from lavis_sam.datasets.folder import write_folder

    report = import_dataset(format_, annotations, images, check=_check(quick))
    _refuse(report, strict=strict, as_json=as_json)
    files = write_folder(report.samples, report.splits, images, out)
    _show(report, as_json=as_json, files={str(out / name): count for name, count in files.items()})


@app.command("export")
def export(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="mantis, m4_instruct, lmms-eval or vlmevalkit.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A data set in the unified format.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE|DIR", help="The JSON file to write; for an evaluator, the folder.")
    ],
    strict: _Strict = False,
    as_json: _AsJson = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What an evaluator calls it; else the name of DIR.")
    ] = None,
) -> None:
    """Write a data set for another project, or for an evaluator.

    For mantis and m4_instruct, image paths stay relative to DIR. lmms-eval gets DIR/NAME.yaml, a task for
    --include_path, and its documents, NAME.jsonl; vlmevalkit gets DIR/NAME.tsv, which holds the images, and DIR is
    what LMUData has to name.

    \b
    Examples:
      lavis-sam data export m4_instruct data/mmlink --out mmlink_m4.json
      lavis-sam data export lmms-eval data/spot_the_diff --out tasks
      lavis-sam data export vlmevalkit data/spot_the_diff --out lmu_data
    """
    from lavis_sam.datasets.annotations import scan_annotations
    from lavis_sam.datasets.exchange import FOLDER_EXPORTS, export_records
    from lavis_sam.datasets.folder import annotation_file
    from lavis_sam.files import write_json

    root = folder if folder.is_dir() else folder.parent
    read = scan_annotations(annotation_file(folder), root, check="paths")
    if format_ in FOLDER_EXPORTS:
        _refuse(read, strict=strict, as_json=as_json)
        files = FOLDER_EXPORTS[format_](read.samples, root, out, name or _name_of(folder))
        _show(read, as_json=as_json, files={str(file): len(read.samples) for file in files})
        return
    records, report = export_records(format_, read.samples)
    report.problems[:0] = read.problems
    _refuse(report, strict=strict, as_json=as_json)
    write_json(out, records, indent=1)
    _show(report, as_json=as_json, files={str(out): len(records)})


def _name_of(folder: Path) -> str:
    path = folder.absolute()
    return path.name if path.is_dir() else path.stem


def _scanned_shards(folder: Path, *, check: "Check", images_elsewhere: bool) -> "AnnotationReport":
    from lavis_sam.datasets.shards import scan_shards
    from lavis_sam.errors import SamConfigurationError

    if images_elsewhere:
        raise SamConfigurationError(
            f"{folder}: shards hold their images, so --images and --out mean nothing; `lavis-sam data shards "
            "--unpack` makes a folder of them."
        )
    return scan_shards([folder], check=check)


def _check(quick: bool) -> "Check":
    return "quick" if quick else "full"


def _parsed(options: list[str] | None) -> dict[str, Any]:
    """Turn `["group_size=4"]` into `{"group_size": 4}`."""
    from lavis_sam.config.option_values import whole_number
    from lavis_sam.errors import SamConfigurationError

    parsed: dict[str, Any] = {}
    for option in options or ():
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise SamConfigurationError(f"--option: found {option!r}, wanted KEY=VALUE.")
        number = whole_number(value)
        parsed[key] = value if number is None else number
    return parsed


def _refuse(report: "AnnotationReport", *, strict: bool, as_json: bool) -> None:
    """Stop, with the report, before anything is written."""
    if strict and report.problems:
        _show(report, as_json=as_json, files={}, valid=False)
        raise typer.Exit(_CHECK_FAILED)
    if not report.usable:
        _nothing_left(report)


def _nothing_left(report: "AnnotationReport") -> NoReturn:
    from lavis_sam.errors import SamDataError

    raise SamDataError(f"{report.verdict()} Nothing was written.\n{report.summary()}")


def _show(report: "AnnotationReport", *, as_json: bool, files: dict[str, int], valid: bool = True) -> None:
    from lavis_sam.files import to_json

    if as_json:
        echo(to_json({"valid": valid, **report.as_dict(), "files": files}))
        return
    if report.problems:
        _print_problems(report)
    echo(report.verdict())
    for file, count in files.items():
        echo(f"wrote {file}: {count} sample(s)")


def _print_problems(report: "AnnotationReport") -> None:
    from lavis_sam.cli.score_tables import print_table

    rows = [(row.kind, str(row.count), str(row.records), "\n".join(row.examples)) for row in report.rows()]
    words = ("problem", "first examples")
    print_table((words[0], "count", "records", words[1]), rows, left=words, width=_REPORT_WIDTH)
