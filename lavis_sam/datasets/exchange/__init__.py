"""Data sets into the unified format, and out of it into the formats of others.

`conversations` (Mantis-Instruct, M4-Instruct) goes both ways, `demon` only in; `lmms_eval` and `vlmevalkit` write what
these evaluators read.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.annotations import scan_records
from lavis_sam.datasets.exchange.conversations import conversation_records, to_m4_instruct, to_mantis
from lavis_sam.datasets.exchange.demon import demon_records
from lavis_sam.datasets.exchange.lmms_eval import write_lmms_eval
from lavis_sam.datasets.exchange.vlmevalkit import write_vlmevalkit
from lavis_sam.datasets.formats.fields import RecordError
from lavis_sam.datasets.image_check import Check
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport
from lavis_sam.datasets.records import UnreadableFileError
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError

# Name -> reader: a file to records of the unified format, each with its place; problems go to the list.
IMPORTS: dict[str, Callable[[Path, list[AnnotationProblem]], Iterator[tuple[str, dict[str, Any]]]]] = {
    "mantis": conversation_records,
    "m4_instruct": conversation_records,
    "demon": demon_records,
}
# Name -> writer: a sample to a record of that format.
EXPORTS: dict[str, Callable[[MultiImageSample], dict[str, Any]]] = {
    "mantis": to_mantis,
    "m4_instruct": to_m4_instruct,
}
# Name -> writer of an evaluator's data set: samples, the root of their images, a folder and a name to files in it.
FOLDER_EXPORTS: dict[str, Callable[[Sequence[MultiImageSample], Path, Path, str], list[Path]]] = {
    "lmms-eval": write_lmms_eval,
    "vlmevalkit": write_vlmevalkit,
}


def import_dataset(name: str, annotations: Path, images: Path, *, check: Check = "quick") -> AnnotationReport:
    """Read a data set in the format of another project.

    Args:
        name: A key of `IMPORTS`.
        images: The folder that its image paths are relative to.
        check: How closely to look at the images; see `ImageCheck`.

    Raises:
        SamConfigurationError: An unknown format.
    """
    if name not in IMPORTS:
        raise SamConfigurationError(unknown_name("format", name, IMPORTS, "import"))
    report = AnnotationReport()
    try:
        records = list(IMPORTS[name](annotations, report.problems))
    except UnreadableFileError as error:
        report.problems.append(error.problem)
        return report
    scan_records(records, images, report, check=check)
    report.require_samples(str(annotations))
    return report


def export_records(name: str, samples: Sequence[MultiImageSample]) -> tuple[list[dict[str, Any]], AnnotationReport]:
    """Return records of another project's format, and a report of the samples that it cannot hold.

    Args:
        name: A key of `EXPORTS`.
        samples: What to write; image paths stay as they are.

    Raises:
        SamConfigurationError: An unknown format.
    """
    if name in FOLDER_EXPORTS:
        raise SamConfigurationError(
            f"export: {name!r} is a folder and not records; `FOLDER_EXPORTS` has what writes it."
        )
    if name not in EXPORTS:
        raise SamConfigurationError(unknown_name("format", name, (*EXPORTS, *FOLDER_EXPORTS), "export"))
    records, report = [], AnnotationReport()
    for sample in samples:
        try:
            records.append(EXPORTS[name](sample))
            report.samples.append(sample)
        except RecordError as error:
            report.problems += [AnnotationProblem(kind, f"id {sample.id!r}", text) for kind, text in error.problems]
    return records, report
