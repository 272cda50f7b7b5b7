"""Where everything is in a set of shards: samples, and the places of their images' bytes.

Shards are looked through once, when they are opened; from then on every sample can be read by itself. So the order of
samples is a matter for the sampler alone, whatever the number of processes and workers.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from lavis_sam.datasets.annotations import parse_record
from lavis_sam.datasets.image_check import Check
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards.archive import Damage, Member, read_members
from lavis_sam.datasets.shards.layout import (
    ANNOTATION,
    CHECKSUMS,
    ShardFile,
    image_number,
    record_checksum,
    shard_files,
    split_member,
)
from lavis_sam.errors import SamDataError
from lavis_sam.files import leaves_root

# Some hundred times the longest record of any known data set.
MAX_RECORD_BYTES = 16 * 1024**2
DAMAGED = "damaged member"
DAMAGED_SHARD = "damaged shard"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image's bytes in a shard."""

    offset: int
    size: int
    crc32: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A sample's place: the shard's number, the sample's key in it, its N images."""

    shard: int
    key: str
    images: tuple[StoredImage, ...] = ()


@dataclass
class ShardIndex:
    """What a set of shards holds.

    Attributes:
        files: The shards.
        places: The place of each sample of `report.samples`.
        report: The whole samples, and what was passed over.
    """

    files: list[ShardFile] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    report: AnnotationReport = field(default_factory=AnnotationReport)


@dataclass
class _Group:
    """The members of one sample so far; `torn` says where tar could not be read since the first of them."""

    key: str
    record: Member | None = None
    images: dict[int, Member] = field(default_factory=dict)
    twice: str | None = None
    torn: list[Damage] = field(default_factory=list)

    def add(self, rest: str, member: Member) -> None:
        number = image_number(rest)
        if rest == ANNOTATION:
            self.twice = self.twice or ("its record" if self.record else None)
            self.record = member
        elif number is not None:
            self.twice = self.twice or (f"its image {number}" if number in self.images else None)
            self.images[number] = member


def index_shards(paths: Iterable[str | os.PathLike[str]], *, check: Check = "quick") -> ShardIndex:
    """Look through shards.

    Args:
        paths: Folders of shards, or tar files, which form one data set (ids must be unique over all of them).
        check: "paths" and "quick" read names and records; "full" also compares the shards' SHA-256.

    Raises:
        SamDataError: No shards, or a member that may do harm.
    """
    index = ShardIndex([file for path in paths for file in shard_files(Path(path))])
    ids: dict[str, str] = {}
    for number, file in enumerate(index.files):
        found = 0
        for place, sample, problems in _samples(number, file):
            found += bool(place.key)
            if sample is not None:
                first = ids.setdefault(str(sample.id), sample.source)
                if first != sample.source:
                    message = f"id {sample.id!r} was used before at {first}; ids must be unique"
                    problems.append(AnnotationProblem("duplicate id", sample.source, message))
            if sample is not None and not problems:
                index.report.samples.append(sample)
                index.places.append(place)
            index.report.problems.extend(problems)
        index.report.problems.extend(_shard_problems(file, found, full=check == "full"))
    return index


def _shard_problems(file: ShardFile, found: int, *, full: bool) -> Iterator[AnnotationProblem]:
    """Whether a shard is what its manifest says."""
    size = file.path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        message = f"found {size} bytes, wanted {file.bytes}"
        yield AnnotationProblem(DAMAGED_SHARD, str(file.path), message, drops=False)
    if file.samples is not None and found < file.samples:
        message = f"found {found} of {file.samples} samples"
        yield AnnotationProblem(DAMAGED_SHARD, str(file.path), message)
    if full and file.sha256 is not None and sha256(file.path) != file.sha256:
        message = "its SHA-256 is not the manifest's"
        yield AnnotationProblem(DAMAGED_SHARD, str(file.path), message, drops=False)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _samples(number: int, file: ShardFile) -> Iterator[tuple[Place, MultiImageSample | None, list[AnnotationProblem]]]:
    """Every sample of a shard, whole or not, and every tear that left nothing of a sample."""
    torn: list[Damage] = []
    with file.path.open("rb") as records:
        for group in _groups(file.path):
            if not group.key:  # tears in front of the first sample
                torn = group.torn
                continue
            source = f"{file.path}:{group.key}"
            try:
                place, sample, problems = _parsed(number, group, source, records)
            except ValueError as error:
                # A tear counts with the sample that it tore apart, at the end of the one or at the start of the other.
                message = "; ".join([str(error), *map(str, (*torn, *group.torn))])
                yield Place(number, group.key), None, [AnnotationProblem(DAMAGED, source, message)]
                torn = []
            else:
                yield from _lost(number, file, torn)
                yield place, sample, problems
                torn = group.torn
        yield from _lost(number, file, torn)


def _lost(number: int, file: ShardFile, torn: list[Damage]) -> Iterator[tuple[Place, None, list[AnnotationProblem]]]:
    for damage in torn:
        yield Place(number, ""), None, [AnnotationProblem(DAMAGED, f"{file.path}:byte {damage.offset}", damage.message)]


def _groups(path: Path) -> Iterator[_Group]:
    """Neighbouring members of one key."""
    group = _Group("")
    for found in read_members(path):
        if isinstance(found, Damage):
            group.torn.append(found)
            continue
        parts = split_member(found.name)
        if parts is None:
            continue
        key, rest = parts
        if group.key != key:
            if group.key or group.torn:
                yield group
            group = _Group(key)
        group.add(rest, found)
    if group.key or group.torn:
        yield group


def _parsed(
    number: int, group: _Group, source: str, records: BinaryIO
) -> tuple[Place, MultiImageSample | None, list[AnnotationProblem]]:
    """The sample that a group's members make.

    Raises:
        ValueError: A member is missing, there twice, too large, or no JSON.
    """
    if group.twice:
        raise ValueError(f"{group.twice} is there twice")
    record = _record(group, records)
    checksums = record.get(CHECKSUMS) if isinstance(record, dict) else None
    checksums = checksums if isinstance(checksums, dict) else {}
    if "record" in checksums and checksums["record"] != _checksum(record):
        raise ValueError("its record's checksum (CRC-32) is wrong")
    sample, problems = parse_record(record, source, _unsafe_path)
    if sample is None or problems:
        return Place(number, group.key), None, problems
    place = Place(number, group.key, tuple(_images(group, checksums.get("pictures"))))
    if len(place.images) != len(sample.images):
        raise ValueError(f"found {len(place.images)} of {len(sample.images)} images")
    return place, sample, []


def _record(group: _Group, file: BinaryIO) -> dict[str, Any]:
    """The sample's record.

    Raises:
        ValueError: It is missing, too large or no JSON.
    """
    if group.record is None:
        raise ValueError("its record is missing")
    if group.record.size > MAX_RECORD_BYTES:
        raise ValueError(f"its record has {group.record.size} bytes, wanted at most {MAX_RECORD_BYTES}")
    file.seek(group.record.offset)
    try:
        return json.loads(file.read(group.record.size).decode("utf-8"))
    except RecursionError as error:
        raise ValueError("its record is nested too deeply") from error


def _checksum(record: dict[str, Any]) -> int | None:
    try:
        return record_checksum(record)
    except SamDataError:  # it holds a NaN, which no record of ours does
        return None


def _images(group: _Group, checksums: Any) -> Iterator[StoredImage]:
    """The images 1, 2, … as far as there is no gap."""
    known = checksums if isinstance(checksums, list) else []
    number = 1
    while number in group.images:
        member = group.images[number]
        checksum = known[number - 1] if number <= len(known) else None
        yield StoredImage(member.offset, member.size, checksum if isinstance(checksum, int) else None)
        number += 1


def _unsafe_path(image: str) -> tuple[str, str] | None:
    """The image itself is in the shard; its path matters when the shards are unpacked."""
    if leaves_root(image) or "\0" in image:
        return "path leaves the root", "wanted a relative path without `..`"
    return None
