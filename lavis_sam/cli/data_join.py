"""`lavis-sam data join`: several data sets as one."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.terminal import echo


def join(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The annotation file to write, above all that it joins.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Annotation files, each beside its images.")],
    most: Annotated[
        int | None, typer.Option("--most", min=1, help="Samples of each file, evenly spread; all without it.")
    ] = None,
) -> None:
    """Write one annotation file for data sets in different folders; no image is copied.

    Image paths become relative to the folder of OUT, and ids begin with the file that a sample is from. Nothing is
    overwritten. A config then names that folder (`images.storage`) and OUT (`annotations.train.storage`).

    \b
    Example:
      lavis-sam data join data/all.json data/own/annotations.json data/mmlink/annotations.json
    """
    from lavis_sam.datasets.annotations import write_annotations
    from lavis_sam.datasets.joining import join_samples
    from lavis_sam.errors import SamConfigurationError

    if out.exists():
        raise SamConfigurationError(f"{out}: is there already, and nothing is overwritten; move it away first.")
    samples = join_samples(files, out.parent, most)
    write_annotations(out, samples)
    echo(f"wrote {out}: {len(samples):,} sample(s) of {len(files)} file(s)")
