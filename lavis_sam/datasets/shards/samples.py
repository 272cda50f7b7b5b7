"""The samples of a shard, from the members of each; the same for shards that are indexed and for those that stream.

Neighbouring members of one key, the name up to the first dot as webdataset has it, are a sample. Read are

- the layout that we write (see `layout`): `<key>.json` with `img_list`, and `<key>.1.jpg`, `<key>.2.png`, …;
- what others write with webdataset alone: one image `<key>.jpg`, or several `<key>.0.jpg`, `<key>.1.jpg`, … (or from 1
  on); the answer is `output` or `caption` of `<key>.json`, else the text of `<key>.txt`, else of `<key>.cls`; the
  instruction is `instruction` of `<key>.json`, else the configured prompt; the id is `id`, else the shard's name and
  the key. `references` are read where they are. Members of other names are ignored.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from lavis_sam.datasets.annotations import parse_record
from lavis_sam.datasets.images import is_image_start
from lavis_sam.datasets.problems import AnnotationProblem
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards.archive import Damage, Member
from lavis_sam.datasets.shards.layout import ANNOTATION, CHECKSUMS, record_checksum
from lavis_sam.errors import SamDataError
from lavis_sam.files import leaves_root

# Some hundred times the longest record of any known data set.
MAX_RECORD_BYTES = 16 * 1024**2
# What the image files of one sample may take of the memory.
MAX_SAMPLE_BYTES = 512 * 1024**2
# From here on, a member must begin as an image does before all of it is read: holes of a sparse file cost its writer
# nothing, and zeros any compressor next to nothing.
LARGE_BYTES = 4 * 1024**2
# Enough for every format's first mark.
START_BYTES = 16
DAMAGED = "damaged member"

_TEXTS = ("txt", "cls")
_RECORDS = (ANNOTATION, *_TEXTS)
_RECORD_ENDS = tuple(f".{rest}" for rest in _RECORDS)
_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm"})
_MOST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image's bytes in a shard: place, CRC-32 where the writer noted one, and content where it was read."""

    offset: int
    size: int
    crc32: int | None
    content: bytes | None = None


@dataclass(slots=True)
class StoredSample:
    """What the members of one key make.

    Attributes:
        key: Empty for damage that left nothing of a sample.
        source: Shard and key, or shard and byte.
        sample: None where they make none.
        images: N places.
        problems: Why they make none.
    """

    key: str
    source: str
    sample: MultiImageSample | None = None
    images: tuple[StoredImage, ...] = ()
    problems: list[AnnotationProblem] = field(default_factory=list)


def is_record(name: str) -> bool:
    """Return whether a member holds a sample's record or text."""
    return name.lower().endswith(_RECORD_ENDS) and _split(name)[1] in _RECORDS


def is_image(name: str) -> bool:
    """Return whether a member holds an image."""
    return _image_number(_split(name)[1]) is not None


def is_no_image(size: int, start: bytes) -> bool:
    """Return whether `size` bytes that begin like this are too many to be read, since they are no image."""
    return size > LARGE_BYTES and not is_image_start(start[:START_BYTES])


def stored_samples(found: Iterable[Member | Damage], shard: str, prompt: str | None = None) -> Iterator[StoredSample]:
    """Yield every sample of a shard, whole or not, and every damage that left nothing of a sample.

    Args:
        found: What `read_members` found, the content of records and texts included.
        shard: The shard, for messages.
        prompt: The instruction of samples that bring none.
    """
    torn: list[Damage] = []
    for group in _groups(found):
        if group.key:
            stored = StoredSample(group.key, f"{shard}:{group.key}")
            try:
                _fill(stored, group, shard, prompt)
            except ValueError as error:
                # Damage counts with the sample that it tore apart, at the end of the one or the start of the other.
                message = "; ".join([str(error), *map(str, (*torn, *group.torn))])
                stored.problems.append(AnnotationProblem(DAMAGED, stored.source, message))
                yield stored
                torn = []
                continue
            yield from _lost(torn, shard)
            yield stored
        torn = group.torn
    yield from _lost(torn, shard)


@dataclass(slots=True)
class _Group:
    """The members of one sample so far; `torn` says where tar could not be read since the first of them."""

    key: str
    texts: dict[str, Member] = field(default_factory=dict)
    images: dict[int, Member] = field(default_factory=dict)
    twice: str | None = None
    torn: list[Damage] = field(default_factory=list)
    bytes: int = 0

    def add(self, rest: str, member: Member) -> None:
        """Take a member, by what its name says beside the key."""
        number = _image_number(rest)
        if rest in _RECORDS:
            self.twice = self.twice or (f"its {_called(rest)}" if rest in self.texts else None)
            self.texts[rest] = member
        elif number is not None:
            self.twice = self.twice or (f"its image {number}" if number in self.images else None)
            self.bytes += member.size
            # Too much is refused as a whole; until then, it must not be kept.
            self.images[number] = member if self.bytes <= MAX_SAMPLE_BYTES else Member(member.name, 0, 0)


def _groups(found: Iterable[Member | Damage]) -> Iterator[_Group]:
    """Yield neighbouring members of one key; the first group may be damage alone."""
    group = _Group("")
    for entry in found:
        if isinstance(entry, Damage):
            group.torn.append(entry)
            continue
        key, rest = _split(entry.name)
        if not rest:
            continue
        if group.key != key:
            if group.key or group.torn:
                yield group
            group = _Group(key)
        group.add(rest, entry)
    if group.key or group.torn:
        yield group


def _split(name: str) -> tuple[str, str]:
    """Return (key, the rest of the name in lower case), as webdataset splits it; ("", "") for a name without both."""
    folder, slash, file = name.rpartition("/")
    stem, _, rest = file.partition(".")
    return (folder + slash + stem, rest.lower()) if stem and rest else ("", "")


def _image_number(rest: str) -> int | None:
    """Return the number of an image's name behind the key (0 for `<key>.jpg`); None if it is no image's."""
    digits = rest.partition(".")[0]
    if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS:
        return int(digits)
    return 0 if rest in _IMAGES else None


def _called(rest: str) -> str:
    return "record" if rest == ANNOTATION else f".{rest}"


def _lost(torn: Iterable[Damage], shard: str) -> Iterator[StoredSample]:
    for damage in torn:
        source = f"{shard}:byte {damage.offset}"
        yield StoredSample("", source, problems=[AnnotationProblem(DAMAGED, source, damage.message)])


def _fill(stored: StoredSample, group: _Group, shard: str, prompt: str | None) -> None:
    """Give `stored` what a group's members make.

    Raises:
        ValueError: A member is missing, there twice, too large, or no JSON.
    """
    if group.twice:
        raise ValueError(f"{group.twice} is there twice")
    if group.bytes > MAX_SAMPLE_BYTES:
        raise ValueError(f"its images have {group.bytes} bytes, wanted at most {MAX_SAMPLE_BYTES}")
    record = _record(group)
    checksums = record.get(CHECKSUMS) if isinstance(record, dict) else None
    checksums = checksums if isinstance(checksums, dict) else {}
    if "record" in checksums and checksums["record"] != _checksum(record):
        raise ValueError("its record's checksum (CRC-32) is wrong")
    is_foreign = isinstance(record, dict) and "img_list" not in record
    # Ours are numbered from 1 on; a preview `<key>.jpg` beside them is none of them.
    members = _images_from(group, 0 if is_foreign and 0 in group.images else 1)
    if is_foreign:
        record = _foreign(record, group, members, shard, prompt)
    stored.sample, stored.problems = parse_record(record, stored.source, _unsafe_path)
    if stored.sample is None or stored.problems:
        return
    if len(members) != len(stored.sample.images):
        raise ValueError(f"found {len(members)} of {len(stored.sample.images)} images")
    known = checksums.get("pictures")
    crcs = known if isinstance(known, list) and len(known) == len(members) else [None] * len(members)
    stored.images = tuple(
        StoredImage(member.offset, member.size, crc if isinstance(crc, int) else None, member.content)
        for member, crc in zip(members, crcs, strict=True)
    )


def _record(group: _Group) -> Any:
    """Return the sample's record, whatever its JSON holds; without a record, an empty one if there is a text.

    Raises:
        ValueError: It is missing, too large or no JSON.
    """
    if ANNOTATION not in group.texts:
        if group.texts:
            return {}
        raise ValueError("its record is missing")
    try:
        return json.loads(_text(group, ANNOTATION))
    except RecursionError as error:
        raise ValueError("its record is nested too deeply") from error


def _text(group: _Group, rest: str) -> str:
    """Return a text member.

    Raises:
        ValueError: It is too large, or no UTF-8.
    """
    member = group.texts[rest]
    if member.size > MAX_RECORD_BYTES or member.content is None:
        raise ValueError(f"its {_called(rest)} has {member.size} bytes, wanted at most {MAX_RECORD_BYTES}")
    return member.content.decode("utf-8")


def _foreign(
    record: dict[str, Any], group: _Group, members: list[Member], shard: str, prompt: str | None
) -> dict[str, Any]:
    """Return the record of the unified format for a sample that somebody else wrote.

    Raises:
        ValueError: It has no instruction, or images are missing.
    """
    instruction = prompt if record.get("instruction") is None else record["instruction"]
    if instruction is None:
        raise ValueError("its record has no `instruction`; build_info.prompt can give one to all samples")
    if len(members) != len(group.images):
        raise ValueError(f"its images have the numbers {sorted(group.images)}, wanted all from 0 or 1 on")
    texts = (_text(group, rest).strip() for rest in _TEXTS if rest in group.texts)
    output = record.get("caption") if record.get("output") is None else record["output"]
    identity = f"{PurePath(shard).stem}/{group.key}" if record.get("id") is None else record["id"]
    return {
        "id": identity,
        "img_list": [member.name for member in members],
        "instruction": instruction,
        "output": next(texts, None) if output is None else output,
        "references": record.get("references"),
    }


def _images_from(group: _Group, number: int) -> list[Member]:
    """Return the images from `number` on, as far as there is no gap."""
    members = []
    while number in group.images:
        members.append(group.images[number])
        number += 1
    return members


def _checksum(record: dict[str, Any]) -> int | None:
    try:
        return record_checksum(record)
    except SamDataError:  # it holds a NaN, which no record of ours does
        return None


def _unsafe_path(image: str) -> tuple[str, str] | None:
    """Refuse a path that leads out: the image itself is in the shard; its path matters when the shards are unpacked."""
    if leaves_root(image) or "\0" in image:
        return "path leaves the root", "wanted a relative path without `..`"
    return None
