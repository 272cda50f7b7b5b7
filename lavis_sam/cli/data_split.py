"""`lavis-sam data split`: a data set's samples for training, validation and test."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.terminal import echo


def split(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds annotations.json (or .jsonl).")],
    val: Annotated[float, typer.Option(help="Share of the samples to validate with; 0 for none.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the samples to test with; 0 for none.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal splits.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, nothing else, on stdout.")] = False,
) -> None:
    """Deal the samples of DIR out to training, validation and test.

    Writes DIR/annotations.train.json, annotations.val.json and annotations.test.json; nothing is overwritten, and
    annotations.json stays as it is. Samples that share an image stay together, so that no test image was trained on.

    \b
    Examples:
      lavis-sam data split data/own
      lavis-sam data split data/own --val 0 --test 0.2 --seed 1
    """
    from lavis_sam.datasets.annotations import scan_annotations, usable_samples, write_annotations
    from lavis_sam.datasets.folder import annotation_file
    from lavis_sam.datasets.formats.release import SPLITS
    from lavis_sam.datasets.splitting import split_samples
    from lavis_sam.errors import SamConfigurationError, SamDataError
    from lavis_sam.files import to_json

    if not folder.is_dir():
        raise SamDataError(f"{folder}: there is no such folder; wanted one with annotations.json.")
    files = {name: folder / f"annotations.{name}.json" for name in SPLITS}
    for file in files.values():
        if file.exists():
            raise SamConfigurationError(f"{file}: is there already, and nothing is overwritten; move it away first.")
    report = scan_annotations(annotation_file(folder), folder)
    samples = usable_samples(report, str(folder), strict=False)
    parts = split_samples(samples, folder, {"val": val, "test": test}, seed)
    for name, part in parts.items():
        write_annotations(files[name], part)
    if as_json:
        counts = {str(files[name]): len(part) for name, part in parts.items()}
        echo(to_json({**report.as_dict(), "files": counts}))
        return
    for line in report.lines():
        echo(line)
    for name, part in parts.items():
        echo(f"wrote {files[name]}: {len(part)} sample(s)")
