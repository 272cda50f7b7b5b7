"""The unified annotation format: its strict reading from JSON or JSON lines, and its writing.

A file in the unified annotation format is a JSON list, or one JSON object a line, of
`{"id": int or str, "img_list": [paths relative to the root], "instruction": str, "output": str}` with an optional
`"references": [str, ...]`; further keys are ignored. Reading collects every problem of all files before it complains.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.datasets.image_check import Check, ImageCheck
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport, names, shown
from lavis_sam.datasets.records import read_records
from lavis_sam.datasets.sample import MultiImageSample, to_record
from lavis_sam.errors import SamDataError
from lavis_sam.files import write_json

_LOG = logging.getLogger(__name__)

Paths = Sequence[str | os.PathLike[str]] | str | os.PathLike[str]
ImageProblem = Callable[[str], tuple[str, str] | None]


def write_annotations(path: str | os.PathLike[str], samples: Iterable[MultiImageSample]) -> None:
    """Write samples as a file of the unified format, whole or not at all."""
    write_json(path, [to_record(sample) for sample in samples], indent=1)


def read_annotations(
    paths: Paths, root: str | os.PathLike[str], *, strict: bool = True, check: Check = "quick"
) -> list[MultiImageSample]:
    """Read annotation files.

    Args:
        paths: One file, or several that form one data set.
        root: The folder that the image paths are relative to.
        strict: Any problem is an error; otherwise bad samples are dropped, and the log says how many and why.
        check: How closely to look at the images; see `ImageCheck`.

    Raises:
        SamDataError: A problem (or, unless `strict`, a file that cannot be read, or no whole sample); the message
            counts the problems by kind and shows the first ones.
    """
    report = scan_annotations(paths, root, check=check)
    return accept(report, f"{names(_listed(paths))} (images under {root})", strict=strict)


def accept(report: AnnotationReport, place: str, *, strict: bool) -> list[MultiImageSample]:
    """Return the samples of a report, if they may be used, and log what was dropped; see `usable_samples`."""
    samples = usable_samples(report, place, strict=strict)
    if report.problems:
        _LOG.warning("%s: %s The first problems:\n%s", place, report.verdict(), report.summary())
    elif report.repairs:
        _LOG.info("%s: %s", place, report.verdict())
    return samples


def usable_samples(report: AnnotationReport, place: str, *, strict: bool) -> list[MultiImageSample]:
    """Return the samples of a report, if they may be used; the caller shows its problems.

    Args:
        report: What reading found.
        place: What was read, for the message.
        strict: Any problem is an error.

    Raises:
        SamDataError: The samples may not be used.
    """
    if report.problems and (strict or not report.usable):
        raise SamDataError(
            f"{len(report.problems)} problem(s) in {place}:\n{report.summary()}\n"
            "Correct these records, or remove them from the file."
        )
    return report.samples


def scan_annotations(paths: Paths, root: str | os.PathLike[str], *, check: Check = "quick") -> AnnotationReport:
    """Read annotation files and report, instead of raising, what is wrong with them.

    Args:
        paths: One file, or several that form one data set (ids must be unique over all of them).
        root: The folder that the image paths are relative to.
        check: How closely to look at the images; see `ImageCheck`.
    """
    report = AnnotationReport()
    listed = _listed(paths)
    records = [item for path in listed for item in read_records(Path(path), report.problems)]
    scan_records(records, root, report, check=check)
    report.require_samples(names(listed))
    return report


def scan_records(
    records: Sequence[tuple[str, Any]], root: str | os.PathLike[str], report: AnnotationReport, *, check: Check
) -> None:
    """Add records of the unified format to a report: whole ones as samples, the others as problems.

    Args:
        records: Place and value of each; ids must be unique over all of them.
        root: The folder that the image paths are relative to.
        report: Is added to.
        check: How closely to look at the images; see `ImageCheck`.
    """
    images = ImageCheck(root, check)
    images.look_at(image for _, record in records for image in _named_images(record))
    places: dict[str, str] = {}
    for place, record in records:
        sample, problems = parse_record(record, place, images.problem)
        if sample is not None:
            first = places.setdefault(str(sample.id), place)
            if first != place:
                message = f"id {sample.id!r} was used before at {first}; ids must be unique"
                problems.append(AnnotationProblem("duplicate id", f"{place} (id {sample.id!r})", message))
        if sample is not None and not problems:
            report.samples.append(sample)
        report.problems.extend(problems)


def text_problem(text: str) -> str | None:
    """Return why `text` can be neither written nor tokenized; None when it can."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"character {error.start} is half of a pair (a lone surrogate)"
    return None


def _listed(paths: Paths) -> list[str | os.PathLike[str]]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def _named_images(record: Any) -> list[str]:
    images = record.get("img_list") if isinstance(record, dict) else None
    return [image for image in images if isinstance(image, str) and image] if isinstance(images, list) else []


def parse_record(
    record: Any, place: str, image_problem: ImageProblem
) -> tuple[MultiImageSample | None, list[AnnotationProblem]]:
    """Read one record of the unified format.

    Args:
        record: Whatever the file has in the place of a record.
        place: File and record, for the report.
        image_problem: Image path -> (kind, message), or None when the image is fine.

    Returns:
        Its sample (None where it is too broken to make one) and its problems.
    """
    if not isinstance(record, dict):
        found = f"found {shown(record)}, wanted an object with id, img_list, instruction and output"
        return None, [AnnotationProblem("wrong type", place, found)]
    identity = record.get("id")
    if isinstance(identity, bool) or not isinstance(identity, int | str) or identity == "":
        message = f"id: found {_found(record, 'id')}, wanted an integer or a text"
        return None, [AnnotationProblem("wrong id", place, message)]
    place_and_id = f"{place} (id {identity!r})"
    problems = [*_text_problems(record, place_and_id), *_image_problems(record, place_and_id, image_problem)]
    if any(problem.kind == "wrong type" for problem in problems):
        return None, problems
    references = tuple(record.get("references") or (record["output"],))
    images = tuple(record["img_list"])
    return MultiImageSample(identity, images, record["instruction"], record["output"], references, place), problems


def _found(record: dict[str, Any], key: str) -> str:
    """Return a key's value for a message, or the keys that are there in its place: other formats have other names."""
    names = "" if key in record else f" (its keys are {shown(', '.join(map(str, record)))})"
    return f"{shown(record.get(key))}{names}"


def _text_problems(record: dict[str, Any], place: str) -> Iterator[AnnotationProblem]:
    for key in ("instruction", "output"):
        if not isinstance(record.get(key), str):
            yield AnnotationProblem("wrong type", place, f"{key}: found {_found(record, key)}, wanted a text")
    if isinstance(record.get("output"), str) and not record["output"].strip():
        yield AnnotationProblem("empty output", place, f"output: found {record['output']!r}, wanted a text")
    references = record.get("references")
    if references is not None:
        if not isinstance(references, list) or not all(isinstance(reference, str) for reference in references):
            yield AnnotationProblem(
                "wrong type", place, f"references: found {shown(references)}, wanted a list of texts"
            )
            references = []
        elif not all(reference.strip() for reference in references):
            message = f"references: found {shown(references)}, wanted no empty text"
            yield AnnotationProblem("empty output", place, message)
    for text in (record.get("id"), record.get("instruction"), record.get("output"), *(references or ())):
        problem = text_problem(text) if isinstance(text, str) else None
        if problem:
            yield AnnotationProblem("wrong text", place, f"{shown(text)}: {problem}")


def _image_problems(record: dict[str, Any], place: str, image_problem: ImageProblem) -> Iterator[AnnotationProblem]:
    images = record.get("img_list")
    if not isinstance(images, list) or not all(isinstance(image, str) and image for image in images):
        found = f"img_list: found {_found(record, 'img_list')}, wanted a list of paths"
        yield AnnotationProblem("wrong type", place, found)
        return
    if not images:
        yield AnnotationProblem("no images", place, "img_list: found 0 images, wanted at least one")
    for image in images:
        problem = image_problem(image)
        if problem:
            yield AnnotationProblem(problem[0], place, f"{image!r}: {problem[1]}")
