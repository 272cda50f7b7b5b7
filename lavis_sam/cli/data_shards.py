"""`lavis-sam data shards`: a data set as few large files, and back."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lavis_sam.cli.model_options import OutArgument, one_place
from lavis_sam.terminal import echo


def shards(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Holds annotations.json (or .jsonl); or such a file. With --unpack, shards."
        ),
    ],
    out_argument: OutArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to write: new, empty, or interrupted.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The root of the image paths, if it is not DIR.")
    ] = None,
    megabytes: Annotated[int, typer.Option(min=1, help="No shard is larger (MiB).")] = 256,
    unpack: Annotated[
        bool, typer.Option("--unpack", help="The other way: --out becomes a folder of images with annotations.json.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on any problem, instead of dropping samples.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the shards that --out holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, nothing else, on stdout.")] = False,
) -> None:
    """Write a data set as webdataset tar shards, with a manifest of their checksums.

    The same data set gives the same bytes. A run that was interrupted goes on when it is started again. Train from
    shards with `type: shards` (mmlink) or `data_type: shards` (any other data set).

    \b
    Examples:
      lavis-sam data shards data/mmlink --out data/mmlink_shards
      lavis-sam data shards data/mmlink/annotations.val.json --out data/val_shards --megabytes 64
      lavis-sam data shards data/mmlink_shards --out data/mmlink_again --unpack
    """
    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.files import to_json

    if unpack and (overwrite or images is not None):
        raise SamConfigurationError("--unpack: takes neither --overwrite nor --images; it writes to an empty folder.")
    out = one_place(out, out_argument)
    report = _unpack(folder, out, strict) if unpack else _pack(folder, images, out, megabytes, strict, overwrite)
    if as_json:
        echo(to_json(report))
        return
    for kind, count in report["dropped"].items():
        echo(f"dropped {count} sample(s): {kind}")
    size = "" if unpack else f" in {report['shards']} shard(s), {report['bytes'] / 2**20:.1f} MiB"
    echo(f"wrote {out}: {report['samples']} sample(s), {report['pictures']} image(s){size}")


def _pack(
    folder: Path, images: Path | None, out: Path, megabytes: int, strict: bool, overwrite: bool
) -> dict[str, Any]:
    from lavis_sam.datasets.annotations import scan_annotations, usable_samples
    from lavis_sam.datasets.folder import annotation_file
    from lavis_sam.datasets.shards import write_shards
    from lavis_sam.progress import ProgressDisplay

    root = images or (folder if folder.is_dir() else folder.parent)
    file = annotation_file(folder)
    scanned = scan_annotations(file, root)
    samples = usable_samples(scanned, str(file), strict=strict)
    with ProgressDisplay("samples", len(samples), write=lambda text: None) as progress:
        manifest = write_shards(
            samples,
            root,
            out,
            shard_bytes=megabytes * 2**20,
            overwrite=overwrite,
            progress=lambda done: progress.show(done, f"{done}/{len(samples)}"),
        )
    return {
        "samples": manifest["samples"],
        "pictures": manifest["pictures"],
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] for shard in manifest["shards"]),
        "dropped": {row.kind: row.records for row in scanned.rows() if row.records},
    }


def _unpack(folder: Path, out: Path, strict: bool) -> dict[str, Any]:
    from lavis_sam.datasets.shards import unpack_shards

    report = unpack_shards([folder], out, strict=strict)
    return {
        "samples": len(report.samples),
        "pictures": sum(len(sample.images) for sample in report.samples),
        "dropped": {row.kind: row.records for row in report.rows() if row.records},
    }
