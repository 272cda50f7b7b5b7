"""The one sample format, and its strict reading from JSON or JSON lines.

A file in the unified annotation format is a JSON list, or one JSON object a line, of
`{"id": int or str, "img_list": [paths relative to the root], "instruction": str, "output": str}` with an optional
`"references": [str, ...]`; further keys are ignored. Reading collects every problem of all files before it complains.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamDataError

# How many problems a message spells out; the counts by kind cover the rest.
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class MultiImageSample:
    """N pictures, an instruction, and the text that answers it.

    Attributes:
        id: The sample's name, unique in its data set (1 and "1" are the same name).
        images: N >= 1 picture paths relative to the data set's root, in order.
        instruction: The prompt; both tokenizers get it unchanged.
        output: The answer; several references are joined here by the data set's own convention.
        references: The answers one by one; equal to (output,) when the annotation gives none.
        source: Where the sample came from: file and record.
    """

    id: int | str
    images: tuple[str, ...]
    instruction: str
    output: str
    references: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class AnnotationProblem:
    """One thing wrong with one record.

    Attributes:
        kind: A short class such as "missing image"; problems are counted by it.
        place: File and record, with the sample's id where it is known.
        message: Value found and value wanted.
    """

    kind: str
    place: str
    message: str


@dataclass
class AnnotationReport:
    """What reading found: the whole samples, and every problem of the others."""

    samples: list[MultiImageSample] = field(default_factory=list)
    problems: list[AnnotationProblem] = field(default_factory=list)

    def summary(self) -> str:
        """Counts by kind and the first problems, for an error message or a log."""
        counts = Counter(problem.kind for problem in self.problems)
        lines = [f"  {count} x {kind}" for kind, count in counts.most_common()]
        lines += [f"  {p.place}: {p.kind}: {p.message}" for p in self.problems[:_SHOWN_PROBLEMS]]
        if len(self.problems) > _SHOWN_PROBLEMS:
            lines.append(f"  … and {len(self.problems) - _SHOWN_PROBLEMS} more")
        return "\n".join(lines)


def read_annotations(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str], root: str | os.PathLike[str]
) -> list[MultiImageSample]:
    """Read annotation files whose records must all be whole.

    Args:
        paths: One file, or several that form one data set.
        root: The folder that the picture paths are relative to.

    Raises:
        SamDataError: Any problem; the message counts them by kind and shows the first ones.
    """
    report = scan_annotations(paths, root)
    if report.problems:
        raise SamDataError(
            f"{len(report.problems)} problem(s) in {_names(paths)} (pictures under {root}):\n{report.summary()}\n"
            "Correct these records, or remove them from the file."
        )
    return report.samples


def scan_annotations(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str], root: str | os.PathLike[str]
) -> AnnotationReport:
    """Read annotation files and report, instead of raising, what is wrong with them.

    Args:
        paths: One file, or several that form one data set (ids must be unique over all of them).
        root: The folder that the picture paths are relative to.
    """
    report = AnnotationReport()
    pictures = _PictureCheck(root)
    places: dict[str, str] = {}
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        for place, record in _records(Path(path), report.problems):
            sample, problems = _parse(record, place, pictures)
            if sample is not None:
                first = places.setdefault(str(sample.id), place)
                if first != place:
                    message = f"id {sample.id!r} was used before at {first}; ids must be unique"
                    problems.append(AnnotationProblem("duplicate id", place, message))
            if sample is not None and not problems:
                report.samples.append(sample)
            report.problems.extend(problems)
    if not report.samples and not report.problems:
        report.problems.append(AnnotationProblem("no samples", _names(paths), "found 0 records, wanted at least one"))
    return report


def _names(paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> str:
    return str(paths) if isinstance(paths, str | os.PathLike) else ", ".join(map(str, paths))


def _records(path: Path, problems: list[AnnotationProblem]) -> Iterator[tuple[str, Any]]:
    """Every record of a file with its place; what cannot be parsed goes to `problems`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        remedy = f"{error.strerror or error}; the configuration's build_info.annotations must name an existing file"
        problems.append(AnnotationProblem("unreadable file", str(path), remedy))
        return
    except UnicodeDecodeError as error:
        problems.append(AnnotationProblem("not UTF-8", str(path), f"byte {error.start}: {error.reason}"))
        return
    if text.lstrip()[:1] == "[" and path.suffix != ".jsonl":
        yield from _records_of_list(path, text, problems)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}:{number}"
            try:
                yield place, json.loads(line)
            except (ValueError, RecursionError) as error:
                problems.append(AnnotationProblem("not JSON", place, f"{error}; wanted one JSON object a line"))


def _records_of_list(path: Path, text: str, problems: list[AnnotationProblem]) -> Iterator[tuple[str, Any]]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(AnnotationProblem("not JSON", str(path), f"{error}; wanted a JSON list of records"))
        return
    for index, record in enumerate(records):
        yield f"{path}[{index}]", record


def _parse(
    record: Any, place: str, pictures: "_PictureCheck"
) -> tuple[MultiImageSample | None, list[AnnotationProblem]]:
    """One record -> its sample (None where it is too broken to name) and its problems."""
    if not isinstance(record, dict):
        found = f"found {_shown(record)}, wanted an object with id, img_list, instruction and output"
        return None, [AnnotationProblem("wrong type", place, found)]
    problems: list[AnnotationProblem] = []
    identity = record.get("id")
    if isinstance(identity, bool) or not isinstance(identity, int | str) or identity == "":
        message = f"id: found {_shown(identity)}, wanted an integer or a text"
        problems.append(AnnotationProblem("wrong id", place, message))
        identity = ""
    else:
        place_and_id = f"{place} (id {identity!r})"
        problems.extend(_text_problems(record, place_and_id))
        problems.extend(_image_problems(record.get("img_list"), place_and_id, pictures))
    if any(problem.kind in ("wrong id", "wrong type") for problem in problems):
        return None, problems
    references = tuple(record.get("references") or (record["output"],))
    images = tuple(record["img_list"])
    return MultiImageSample(identity, images, record["instruction"], record["output"], references, place), problems


def _text_problems(record: dict[str, Any], place: str) -> Iterator[AnnotationProblem]:
    for key in ("instruction", "output"):
        if not isinstance(record.get(key), str):
            yield AnnotationProblem("wrong type", place, f"{key}: found {_shown(record.get(key))}, wanted a text")
    if isinstance(record.get("output"), str) and not record["output"].strip():
        yield AnnotationProblem("empty output", place, f"output: found {record['output']!r}, wanted a text")
    references = record.get("references")
    if references is None:
        return
    if not isinstance(references, list) or not all(isinstance(reference, str) for reference in references):
        yield AnnotationProblem("wrong type", place, f"references: found {_shown(references)}, wanted a list of texts")
    elif not all(reference.strip() for reference in references):
        yield AnnotationProblem("empty output", place, f"references: found {_shown(references)}, wanted no empty text")


def _image_problems(images: Any, place: str, pictures: "_PictureCheck") -> Iterator[AnnotationProblem]:
    if not isinstance(images, list) or not all(isinstance(image, str) and image for image in images):
        yield AnnotationProblem("wrong type", place, f"img_list: found {_shown(images)}, wanted a list of paths")
        return
    if not images:
        yield AnnotationProblem("no images", place, "img_list: found 0 pictures, wanted at least one")
    for image in images:
        problem = pictures.problem(image)
        if problem:
            yield AnnotationProblem(problem[0], place, f"{image!r}: {problem[1]}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


class _PictureCheck:
    """Whether a picture path stays under the root and names a file; every path and folder is looked at once.

    Symbolic links are followed, so a link cannot lead out of the root either.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.path.realpath(root)
        self._folders: dict[str, str] = {}
        self._answers: dict[str, tuple[str, str] | None] = {}

    def problem(self, image: str) -> tuple[str, str] | None:
        """(kind, message), or None when the picture is there."""
        if image not in self._answers:
            try:
                self._answers[image] = self._look_at(image)
            except ValueError as error:  # zero bytes and lone surrogates have no place in a file name
                self._answers[image] = ("wrong path", str(error))
        return self._answers[image]

    def _look_at(self, image: str) -> tuple[str, str] | None:
        folder, name = os.path.split(image)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(os.path.join(self._root, folder))
        path = os.path.join(self._folders[folder], name)
        if name in ("", ".", "..") or os.path.islink(path):
            path = os.path.realpath(path)
        if os.path.isabs(image) or not path.startswith(self._root + os.sep):
            return "path leaves the root", f"wanted a path relative to {self._root} that stays inside it"
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            return "missing image", f"{error.strerror} under {self._root}"
        if not stat.S_ISREG(mode):
            return "missing image", f"not a file under {self._root}"
        return None
