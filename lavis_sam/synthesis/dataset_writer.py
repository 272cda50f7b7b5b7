"""The last pass over the finished parts, in the data set's order: near duplicates, annotations, shards, manifest."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lavis_sam.errors import SamDataError
from lavis_sam.files import (
    UnusableFileError,
    atomic_path,
    numbered_lines,
    parse_json,
    sha256_of,
    to_json,
    write_bytes,
    write_json,
    write_shard,
)
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.duplicates import DuplicateIndex
from lavis_sam.synthesis.manifest import RunCounts, annotation
from lavis_sam.synthesis.quality import Limits
from lavis_sam.synthesis.runners import PartTask
from lavis_sam.synthesis.work_folder import MANIFEST, Outcome, WorkFolder
from lavis_sam.synthesis.worker import thumbnail

DUPLICATE_SCORE = "duplicates.distance"
ANNOTATIONS, SAMPLES, REJECTIONS, REJECTED = "annotations.json", "samples.jsonl", "rejections.jsonl", "rejected"
SHARDS = "shards"


class SampleStore:
    """All outcomes so far, and what is still to be made.

    Only replaced places are kept in memory; everything else is read from the parts, one after the other.
    """

    def __init__(self, folder: WorkFolder, settings: SynthesisSettings, kinds: list[str]) -> None:
        """Start a run that has made nothing yet.

        Args:
            kinds: The kind of each place of the data set.
        """
        self._folder, self._settings, self._kinds = folder, settings, kinds
        self._replaced: dict[int, Outcome] = {}
        self._limits = settings.quality.get(DUPLICATE_SCORE, Limits())

    def first_tasks(self) -> list[PartTask]:
        """Return the parts of the first round: every place once."""
        return self._tasks(0, [(slot, 0, kind) for slot, kind in enumerate(self._kinds)])

    def missing(self, tasks: list[PartTask]) -> list[PartTask]:
        """Return those that are not finished yet."""
        return [task for task in tasks if not self._folder.has_part(task.key, _slots(task))]

    def finished_in(self, tasks: list[PartTask]) -> int:
        """Return samples in finished parts."""
        parts = (self._folder.read_part(task.key) for task in tasks)
        return sum(outcome.sample is not None for part in parts for outcome in part)

    def take_in(self, tasks: list[PartTask]) -> None:
        """Put the outcomes of a replacement round in the place of what they replace."""
        for task in tasks:
            for outcome in self._folder.read_part(task.key):
                before = self._replaced[outcome.slot].rejections
                self._replaced[outcome.slot] = replace(outcome, rejections=(*before, *outcome.rejections))

    def replacements(self, round_: int) -> list[PartTask]:
        """Reject all near duplicates, the later one of each two.

        Returns:
            The parts of the next round, which fill their places again; none when there is nothing to replace.
        """
        repeated = list(self._repeats())
        for number, (outcome, original, distance) in enumerate(repeated):
            image = self._keep_image(outcome) if number < self._settings.run.keep_rejected else None
            rejection = {
                "slot": outcome.slot,
                "attempt": outcome.next_attempt - 1,
                "kind": outcome.kind,
                "stage": "duplicates",
                "reason": DUPLICATE_SCORE,
                "value": distance,
                "limit": f"{self._limits.violation(distance)} (it repeats {original:06d})",
                "picture": image,
            }
            self._replaced[outcome.slot] = replace(outcome, sample=None, rejections=(*outcome.rejections, rejection))
        places = [
            (outcome.slot, outcome.next_attempt, outcome.kind)
            for outcome, _, _ in repeated
            if outcome.next_attempt < self._settings.run.attempts
        ]
        return self._tasks(round_, places)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of every place, in order; accepted samples have their distance from all earlier ones."""
        index = DuplicateIndex()
        for task in self.first_tasks():
            for outcome in self._folder.read_part(task.key):
                outcome = self._replaced.get(outcome.slot, outcome)
                if outcome.sample is not None:
                    hashes = _hashes(outcome.sample)
                    outcome.sample["scores"][DUPLICATE_SCORE] = [index.nearest(hashes)[1]]
                    index.add(outcome.slot, hashes)
                yield outcome

    def _repeats(self) -> Iterator[tuple[Outcome, int, int]]:
        """Yield (outcome, slot that it repeats, distance)."""
        index = DuplicateIndex()
        for task in self.first_tasks():
            for outcome in self._folder.read_part(task.key):
                outcome = self._replaced.get(outcome.slot, outcome)
                if outcome.sample is None:
                    continue
                hashes = _hashes(outcome.sample)
                original, distance = index.nearest(hashes)
                if original is not None and self._limits.violation(distance):
                    yield outcome, original, distance
                else:
                    index.add(outcome.slot, hashes)

    def _tasks(self, round_: int, places: list[tuple[int, int, str]]) -> list[PartTask]:
        size = self._settings.run.part_size
        starts = range(0, len(places), size)
        return [PartTask(round_, number, tuple(places[start : start + size])) for number, start in enumerate(starts)]

    def _keep_image(self, outcome: Outcome) -> str | None:
        """Keep the repeated sample side by side, once, before its places are filled again; return its file."""
        file = self._folder.rejected_file(DUPLICATE_SCORE, outcome.slot, outcome.next_attempt - 1)
        path = self._folder.root / file
        if not path.is_file() and outcome.sample is not None:
            images = []
            for image in outcome.sample["pictures"]:
                with Image.open(self._folder.root / image["file"]) as opened:
                    images.append(np.asarray(opened.convert("RGB")))
            height = min(image.shape[0] for image in images)
            write_bytes(path, thumbnail(np.concatenate([image[:height] for image in images], axis=1)))
        return file


def finish(
    folder: WorkFolder,
    settings: SynthesisSettings,
    store: SampleStore,
    identity: Mapping[str, Any],
    sources: Mapping[str, Any],
) -> None:
    """Write everything that describes the data set; the manifest last.

    Args:
        sources: What the manifest says of each kind's source.
    """
    counts = RunCounts()
    root = folder.root
    with (
        atomic_path(root / SAMPLES) as samples,
        atomic_path(root / REJECTIONS) as rejections,
        samples.open("w", encoding="utf-8") as sample_lines,
        rejections.open("w", encoding="utf-8") as rejection_lines,
    ):
        kept: Counter[str] = Counter()
        for outcome in store.outcomes():
            shown = [_with_kept_image(root, record, kept, settings.run.keep_rejected) for record in outcome.rejections]
            rejection_lines.writelines(to_json(record, indent=None) + "\n" for record in shown)
            counts.add(outcome.kind, outcome.sample, shown)
            if outcome.sample is not None:
                sample_lines.write(to_json(outcome.sample, indent=None) + "\n")
            else:
                _remove_images(folder, settings, outcome.slot)
    _write_annotations(root)
    shards = write_shards(root, _annotations(root), settings.run.shard_size)
    files = {name: sha256_of(root / name) for name in (ANNOTATIONS, SAMPLES, REJECTIONS)}
    manifest = {"run": dict(identity), **counts.as_dict(), "sources": dict(sources), "sha256": files, "shards": shards}
    write_json(root / MANIFEST, manifest)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSON-lines file of a data set.

    Raises:
        SamDataError: A line is no JSON object, or endless.
    """
    for number, line in numbered_lines(path, remedy="Make the data set again."):
        try:
            record = parse_json(line)
        except UnusableFileError as error:
            raise SamDataError(f"{path}:{number}: {error}; wanted what `lavis-sam synthesize` wrote.") from error
        if not isinstance(record, dict):
            found = type(record).__name__
            raise SamDataError(f"{path}:{number}: found a {found}; wanted what `lavis-sam synthesize` wrote.")
        yield record


def write_shards(root: Path, annotations: Iterable[Mapping[str, Any]], shard_size: int) -> list[dict[str, Any]]:
    """Write DIR/shards/000000.tar, … (`<id>.json`, `<id>.1.jpg`, `<id>.2.jpg`, …) from DIR's annotations and images.

    Args:
        annotations: In order.

    Returns:
        One entry a shard for the manifest: file, samples, bytes, sha256.
    """
    entries: list[dict[str, Any]] = []
    remaining = iter(annotations)
    while chunk := list(islice(remaining, shard_size)):
        file = f"{SHARDS}/{len(entries):06d}.tar"
        members = (member for record in chunk for member in _members(root, record))
        entries.append({"file": file, "samples": len(chunk), **write_shard(root / file, members)})
    for path in (root / SHARDS).glob("*.tar"):  # of an earlier run with more samples
        if f"{SHARDS}/{path.name}" not in {entry["file"] for entry in entries}:
            path.unlink()
    return entries


def _members(root: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, str, bytes]]:
    key = str(record["id"])
    yield key, "json", to_json(record, indent=None).encode("utf-8")
    for number, file in enumerate(record["img_list"], start=1):
        yield key, f"{number}{Path(file).suffix}", (root / file).read_bytes()


def _annotations(root: Path) -> Iterator[dict[str, Any]]:
    return (annotation(sample) for sample in read_lines(root / SAMPLES))


def _write_annotations(root: Path) -> None:
    """Write a JSON list, one record a line, without ever having all of them in memory."""
    with atomic_path(root / ANNOTATIONS) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        for index, record in enumerate(_annotations(root)):
            file.write((",\n" if index else "\n") + to_json(record, indent=None))
        file.write("\n]\n")


def _with_kept_image(root: Path, record: dict[str, Any], kept: Counter[str], most: int) -> dict[str, Any]:
    """Return the record with its image at its final place; only the first few of each reason keep theirs."""
    if record["picture"] is None:
        return record
    reason = Path(record["picture"]).parent.name
    if kept[reason] >= most:
        return {**record, "picture": None}
    kept[reason] += 1
    file = f"{REJECTED}/{reason}/{Path(record['picture']).name}"
    write_bytes(root / file, (root / record["picture"]).read_bytes())
    return {**record, "picture": file}


def _remove_images(folder: WorkFolder, settings: SynthesisSettings, slot: int) -> None:
    """Remove the images of a near duplicate that nothing replaced."""
    for index in range(settings.image_count):
        for suffix in ("jpg", "png"):
            (folder.root / folder.image_file(slot, index, suffix)).unlink(missing_ok=True)


def _slots(task: PartTask) -> tuple[int, ...]:
    return tuple(slot for slot, _, _ in task.slots)


def _hashes(sample: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(image["hash"] for image in sample["pictures"])
