"""A release on the disk while it is read: its files, its images, and the account of what went wrong."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.datasets.formats.fields import RecordError
from lavis_sam.datasets.formats.image_folder import ImageFolder
from lavis_sam.datasets.image_check import Check, ImageCheck
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport
from lavis_sam.datasets.records import UnreadableFileError, read_records

SPLITS = ("train", "val", "test")
_OTHER_NAMES = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}


@dataclass(frozen=True)
class Entry:
    """What a release says about one sample, before prompt and checks.

    Attributes:
        id: The sample's name.
        images: Image paths relative to the folder of images.
        references: The answers; empty ones are left out later.
        place: File and record.
        context: What follows the instruction in the prompt.
        split: "train", "val", "test", or None where the release does not say; then no split that is asked for has it.
    """

    id: str
    images: tuple[str, ...]
    references: tuple[str, ...]
    place: str
    context: str = ""
    split: str | None = None


class Release:
    """The files of a release, and the report that its reader fills.

    Attributes:
        annotations: The annotation file, or the folder that holds the annotation files.
        split: The wanted split; None wants all.
        images: The folder of images.
        image_names: Finds images by name.
        check: Looks at images.
        report: Problems and repairs so far.
    """

    def __init__(self, annotations: Path, images: Path, *, split: str | None = None, check: Check = "quick") -> None:
        """Nothing is opened here; whether both are there is checked.

        Args:
            annotations: A file or a folder.
            images: The folder that image paths are relative to.
            split: The wanted split; None wants all.
            check: How closely to look at the images.

        Raises:
            UnreadableFileError: One of the two does not exist.
        """
        if not annotations.exists():
            message = "there is no such file or folder; build_info.annotations (or --annotations) must name one"
            raise UnreadableFileError("unreadable file", annotations, message)
        if not images.is_dir():
            message = "there is no such folder of images; build_info.images.storage (or --images) must name one"
            raise UnreadableFileError("unreadable file", images, message)
        self.annotations, self.images, self.split = annotations, images, split
        self.image_names = ImageFolder(images)
        self.check = ImageCheck(images, check)
        self.report = AnnotationReport()

    def files(self, names: Mapping[str, str]) -> Iterator[tuple[str | None, Path]]:
        """Yield the annotation files to read, each with its split.

        A file that was named by the user is taken at its word; in a folder (or one folder below) each wanted split's
        file is looked for by the name that the release gives it.

        Args:
            names: Split -> file name in the release.

        Raises:
            UnreadableFileError: The folder has none of the wanted files.
        """
        if self.annotations.is_file():
            yield self.split or split_of_name(self.annotations.name), self.annotations
            return
        wanted = {split: name for split, name in names.items() if self.split in (None, split)}
        found = [(split, path) for split, name in wanted.items() if (path := self._in_folder(name)) is not None]
        if not found:
            message = f"found none of {', '.join(wanted.values()) or f'a file for the split {self.split!r}'}"
            raise UnreadableFileError("unreadable file", self.annotations, message)
        yield from found

    def _in_folder(self, name: str) -> Path | None:
        return next(
            (path for path in (self.annotations / name, *sorted(self.annotations.glob(f"*/{name}"))) if path.is_file()),
            None,
        )

    def records(self, path: Path) -> Iterator[tuple[str, Any]]:
        """Yield place and value of each record of a JSON list or a file of JSON lines."""
        return read_records(path, self.report.problems)

    @contextmanager
    def reporting(self, place: str) -> Iterator[None]:
        """Turn a `RecordError` of the block into problems of the record at `place`, and go on after it."""
        try:
            yield
        except RecordError as error:
            for kind, message in error.problems:
                self.problem(kind, place, message)

    def problem(self, kind: str, place: str, message: str) -> None:
        """Add a problem to the report; its record is dropped."""
        self.report.problems.append(AnnotationProblem(kind, place, message))

    def repaired(self, what: str, count: int = 1) -> None:
        """Count something that was corrected without losing a sample."""
        self.report.repairs[what] += count


def split_of_name(name: str) -> str | None:
    """Return the split that a file name or a field stands for ("valid" and "dev" are "val"); None if it is none."""
    first = re.match(r"[a-z]*", name.strip().lower())
    word = first.group() if first else ""
    word = _OTHER_NAMES.get(word, word)
    return word if word in SPLITS else None


def story_context(captions: list[str] | tuple[str, ...]) -> str:
    """Return `{image#1}Caption#1:…{image#2}Caption#2:`: the captions so far, and a last image without one."""
    earlier = "".join(f"{{image#{k}}}Caption#{k}:{caption}" for k, caption in enumerate(captions, start=1))
    last = len(captions) + 1
    return f"{earlier}{{image#{last}}}Caption#{last}:"
