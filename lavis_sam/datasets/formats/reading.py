"""From a release, or from unified annotations, to whole samples and an account of the others."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.annotations import scan_annotations, scan_records, text_problem
from lavis_sam.datasets.catalogue import DatasetEntry, entry_named
from lavis_sam.datasets.exchange.demon import demon_records
from lavis_sam.datasets.formats.release import SPLITS, Entry, Release
from lavis_sam.datasets.image_check import Check
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport
from lavis_sam.datasets.prompts import DEFAULT, DEMON, Prompts
from lavis_sam.datasets.records import UnreadableFileError
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError

Form = Literal["auto", "unified", "release"]

# The published change-captioning scores join all references of a pair like this.
REFERENCE_SEPARATOR = ". "
# How much of a file is looked at to tell the two forms apart.
_SNIFFED_BYTES = 1 << 20
_UNIFIED_KEY = re.compile(rb'"img_list"\s*:')
_DEMON_KEY = re.compile(rb'"task_instruction(_id)?"\s*:')
UNIFIED_FILES = ("annotations.json", "annotations.jsonl")


def read_dataset(
    name: str,
    annotations: Path | Sequence[Path],
    images: Path,
    *,
    split: str | None = None,
    form: Form = "auto",
    prompt_set: str = DEFAULT,
    check: Check = "quick",
    options: Mapping[str, Any] | None = None,
) -> AnnotationReport:
    """Read a data set in the unified format, as its authors released it, or as DEMON did.

    Args:
        name: The data set's name in configurations; see `catalogue`.
        annotations: Annotation files, or a folder that holds them; several form one data set.
        images: The folder that the images are under.
        split: "train", "val" or "test", where one file or folder holds several; None takes all.
        form: "unified", "release", or "auto" to look.
        prompt_set: Which instructions releases get; see `Prompts`. Unified annotations have their own. So have DEMON's
            files, which "default" and "demon" keep; what any other set names takes their place.
        check: How closely to look at the images; see `ImageCheck`.
        options: What this format lets one choose.

    Returns:
        Samples, problems and repairs. Samples of different splits may have the same id.

    Raises:
        SamConfigurationError: An unknown name, form, option or prompt set; "demon" for a release that is not DEMON's.
    """
    known = entry_named(name)
    chosen = _checked_options(known, options or {})
    if form not in get_args(Form):
        raise SamConfigurationError(unknown_name("form", form, get_args(Form), "form"))
    if split not in (None, *SPLITS):
        raise SamConfigurationError(unknown_name("split", split, SPLITS, "split"))
    prompts = None if prompt_set == DEMON else Prompts(known.task, prompt_set)
    report = AnnotationReport()
    unified = []
    for path in [annotations] if isinstance(annotations, Path) else annotations:
        file = unified_file(path, split) if form != "release" else None
        if file is not None or form == "unified" or known.entries is None:
            unified.append(file or path)
        elif form == "auto" and _has_key(path, _DEMON_KEY):
            own = None if prompt_set in (DEFAULT, DEMON) else prompts
            _add(report, _read_demon(path, images, own, check=check))
        elif prompts is None:
            raise SamConfigurationError(
                f"prompt_set: found {DEMON!r}, but {path} is no file of DEMON's, where its instructions are. Let "
                "build_info.annotations (or --annotations) name one, or choose another prompt_set."
            )
        else:
            _add(report, _read_release(known, path, images, prompts, split=split, check=check, options=chosen))
    if unified:
        _add(report, scan_annotations(unified, images, check=check))
    report.require_samples(f"{annotations} (split {split})" if split else str(annotations))
    return report


def unified_file(path: Path, split: str | None = None) -> Path | None:
    """Return the file of the unified format that `path` is or, as a folder, holds; None if there is none.

    Args:
        path: A file or a folder.
        split: In a folder that has a file for each split, as `write_folder` makes it, the wanted one.
    """
    if path.is_dir():
        by_split = {name: path / f"annotations.{name}.json" for name in SPLITS}
        if split is not None and any(file.is_file() for file in by_split.values()):
            return by_split[split]
        return next((path / name for name in UNIFIED_FILES if (path / name).is_file()), None)
    return path if _has_key(path, _UNIFIED_KEY) else None


def _has_key(path: Path, key: re.Pattern[bytes]) -> bool:
    """Return whether a file's first part has the key; a folder, or what cannot be read, has none."""
    try:
        with path.open("rb") as file:
            return bool(key.search(file.read(_SNIFFED_BYTES)))
    except OSError:
        return False


def _checked_options(known: DatasetEntry, options: Mapping[str, Any]) -> dict[str, Any]:
    for key in options:
        if key not in known.options:
            valid = known.options or ("(none)",)
            raise SamConfigurationError(unknown_name("option", key, valid, f"format {known.name}"))
    return {**known.options, **options}


def _add(whole: AnnotationReport, part: AnnotationReport) -> None:
    whole.splits += part.splits or [None] * len(part.samples)
    whole.samples += part.samples
    whole.problems += part.problems
    whole.repairs += part.repairs


def _read_demon(path: Path, images: Path, prompts: Prompts | None, *, check: Check) -> AnnotationReport:
    """Read a file of DEMON's, with its own instructions or, where `prompts` are given, with one of these."""
    report = AnnotationReport()
    try:
        records = list(demon_records(path, report.problems, None if prompts is None else prompts.draw))
    except UnreadableFileError as error:
        report.problems.append(error.problem)
        return report
    scan_records(records, images, report, check=check)
    return report


def _read_release(
    known: DatasetEntry,
    annotations: Path,
    images: Path,
    prompts: Prompts,
    *,
    split: str | None,
    check: Check,
    options: Mapping[str, Any],
) -> AnnotationReport:
    try:
        release = Release(annotations, images, split=split, check=check)
    except UnreadableFileError as error:
        return AnnotationReport(problems=[error.problem])
    entries: list[Entry] = []
    of_others: Counter[str] = Counter()
    try:
        for entry in known.entries(release, **options) if known.entries else ():
            if split in (None, entry.split):
                entries.append(entry)
            else:
                of_others[entry.split or "not said"] += 1
    except UnreadableFileError as error:
        release.report.problems.append(error.problem)
    if of_others and not entries:
        message = f"found none of the split {split!r}; the samples' splits are {dict(of_others)}"
        release.report.problems.append(AnnotationProblem("no samples", str(annotations), message, whole_file=True))
    release.check.look_at(image for entry in entries for image in entry.images)
    places: dict[tuple[str | None, str], str] = {}
    for entry in entries:
        problems = [AnnotationProblem(what, entry.place, message) for what, message in _problems(release, entry)]
        first = places.setdefault((entry.split, entry.id), entry.place)
        if first != entry.place:
            message = f"id {entry.id!r} was used before at {first}; ids must be unique"
            problems.append(AnnotationProblem("duplicate id", entry.place, message))
        release.report.problems += problems
        if not problems:
            release.report.samples.append(_sample(entry, prompts))
            release.report.splits.append(entry.split)
            empty = sum(not reference for reference in entry.references)
            if empty:
                release.repaired("empty sentence, left out", empty)
    return release.report


def _problems(release: Release, entry: Entry) -> Iterator[tuple[str, str]]:
    if not any(entry.references):
        yield "empty output", f"found {list(entry.references)!r}, wanted a text"
    if not entry.images:
        yield "no images", "found 0 images, wanted at least one"
    for text in (entry.id, entry.context, *entry.references):
        problem = text_problem(text)
        if problem:
            yield "wrong text", f"{text!r}: {problem}"
    for image in entry.images:
        found = release.check.problem(image)
        if found:
            yield found[0], f"{image!r}: {found[1]}"


def _sample(entry: Entry, prompts: Prompts) -> MultiImageSample:
    references = tuple(reference for reference in entry.references if reference)
    return MultiImageSample(
        id=entry.id,
        images=entry.images,
        instruction=prompts.draw(entry.id, len(entry.images)) + entry.context,
        output=REFERENCE_SEPARATOR.join(references),
        references=references,
        source=entry.place,
    )
