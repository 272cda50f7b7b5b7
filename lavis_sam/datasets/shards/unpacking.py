"""From shards back to a folder of images with an annotations.json."""

import os
from collections.abc import Sequence
from pathlib import Path

from lavis_sam.datasets.annotations import accept, write_annotations
from lavis_sam.datasets.formats.reading import UNIFIED_FILES
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport, DamagedSampleError, names
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.datasets.shards.index import index_shards
from lavis_sam.datasets.shards.samples import DAMAGED
from lavis_sam.errors import SamDataError
from lavis_sam.files import write_bytes


def unpack_shards(
    shards: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], *, strict: bool = True
) -> AnnotationReport:
    """Write OUT/annotations.json and every image under the path that it had before.

    Args:
        shards: Folders of shards, or tar files.
        out: The folder to write; new or empty.
        strict: Any damage is an error; otherwise damaged samples are left out.

    Returns:
        What was written, and what was left out.

    Raises:
        SamDataError: OUT is not empty; two samples have different images under one path; any damage, if `strict`.
    """
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise SamDataError(f"{folder}: found a folder with something in it, wanted a new or empty one.")
    index = index_shards(shards)
    images = ShardImages(index)
    report = AnnotationReport(problems=list(index.report.problems))
    for number, sample in enumerate(accept(index.report, f"shards {names(shards)}", strict=strict)):
        try:
            contents = images.contents(number)
        except DamagedSampleError as error:
            if strict:
                raise
            report.problems.append(AnnotationProblem(DAMAGED, sample.source, str(error)))
            continue
        if Path(UNIFIED_FILES[0]) in map(Path, sample.images):
            raise SamDataError(f"sample {sample.id!r}: an image has the annotation file's name, {UNIFIED_FILES[0]!r}.")
        for image, content in zip(sample.images, contents, strict=True):
            _write(folder / image, content, sample.id)
        report.samples.append(sample)
    write_annotations(folder / UNIFIED_FILES[0], report.samples)
    return report


def _write(path: Path, content: bytes, sample_id: int | str) -> None:
    """Write an image; the index has made sure that its path stays in the folder.

    Raises:
        SamDataError: There are other contents under this path, or it cannot be one (a file in the place of a folder).
    """
    try:
        if not path.exists():
            write_bytes(path, content)
        elif path.read_bytes() != content:
            raise SamDataError(
                f"sample {sample_id!r}: {path} was written with other contents before. These shards join data sets "
                "whose images have the same names; unpack them one by one."
            )
    except OSError as error:
        raise SamDataError(f"sample {sample_id!r}: {path} cannot be written ({error.strerror or error}).") from error
