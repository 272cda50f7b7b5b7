"""Writing shards: the same bytes whenever they are written, whole files only, and on after an interruption."""

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any

from lavis_sam.datasets.sample import MultiImageSample, to_record
from lavis_sam.datasets.shards.archive import MAX_MEMBER_BYTES
from lavis_sam.datasets.shards.layout import ANNOTATION, CHECKSUMS, MANIFEST, image_name, record_checksum
from lavis_sam.errors import SamDataError
from lavis_sam.files import atomic_path, sha256_of, to_json, write_json, write_shard
from lavis_sam.locks import LOCK_FILE, locked

DEFAULT_SHARD_BYTES = 256 * 1024**2
# What is done so far, while it is not all done: the plan's digest, then one line a finished shard.
PROGRESS = ".progress.jsonl"

_BLOCK = 512
# A checksum in a record, with its comma; the names around them take less than four more.
_CHECKSUM_BYTES = 12
# tar's end mark is two blocks, and the file is padded to a multiple of twenty.
_END_BYTES = 22 * _BLOCK


@dataclass(frozen=True)
class _Plan:
    """Which samples go into which shard: runs of indices, and a digest of all that decides the shards' bytes."""

    runs: list[range]
    digest: str


def write_shards(
    samples: Sequence[MultiImageSample],
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write samples and their images as shards 000000.tar, 000001.tar, …; the manifest comes last.

    A run that was interrupted goes on with the first missing shard when it is started again.

    Args:
        samples: In order.
        root: The folder that the image paths are relative to.
        out: The folder to write; new, empty, or an interrupted run's.
        shard_bytes: No shard is larger.
        overwrite: Replace finished shards, and those of an interrupted run with other samples or settings.
        progress: Gets the number of samples written so far.

    Returns:
        The manifest.

    Raises:
        SamDataError: An image that is missing, too large or changes meanwhile, or a folder with other things in it.
        SamConfigurationError: Another process is writing there.
    """
    folder = Path(out)
    plan = _plan(samples, Path(root), shard_bytes)
    with locked(folder, "or give another folder."):
        entries = _prepare(folder, plan, overwrite=overwrite)
        for number, run in enumerate(plan.runs):
            if number >= len(entries):
                entries.append(_write_shard(folder, f"{number:06d}.tar", samples, run, Path(root), shard_bytes))
                _append(folder, entries[-1])
            if progress is not None:
                progress(run.stop)
        manifest = {
            "samples": len(samples),
            "pictures": sum(len(sample.images) for sample in samples),
            "shard_bytes": shard_bytes,
            "shards": entries,
        }
        write_json(folder / MANIFEST, manifest)
        (folder / PROGRESS).unlink()
        return manifest


def _plan(samples: Sequence[MultiImageSample], root: Path, shard_bytes: int) -> _Plan:
    """Fill shard after shard; the sizes of all files are known before one is read."""
    digest = new_sha256(to_json({"shard_bytes": shard_bytes}).encode())
    runs: list[range] = []
    first, filled = 0, _END_BYTES
    for index, sample in enumerate(samples):
        states = [_state(root / image, sample) for image in sample.images]
        record = to_json(to_record(sample), indent=None)
        digest.update(to_json([record, states], indent=None).encode())
        # The checksums in the record are not known yet, but how much room they can take is.
        room = _CHECKSUM_BYTES * (4 + len(states))
        size = _member_bytes(len(record.encode()) + room) + sum(_member_bytes(bytes_) for bytes_, _ in states)
        if size > shard_bytes - _END_BYTES:
            raise SamDataError(
                f"sample {sample.id!r}: record and images need {size} bytes, wanted at most "
                f"{shard_bytes - _END_BYTES}; "
                "make the shards larger."
            )
        if filled + size > shard_bytes:
            runs.append(range(first, index))
            first, filled = index, _END_BYTES
        filled += size
    return _Plan([*runs, range(first, len(samples))] if samples else [], digest.hexdigest())


def _member_bytes(size: int) -> int:
    return _BLOCK + -(-size // _BLOCK) * _BLOCK


def _state(path: Path, sample: MultiImageSample) -> tuple[int, int]:
    """Return an image's size and date, by which a change is noticed."""
    try:
        state = path.stat()
    except OSError as error:
        raise SamDataError(f"sample {sample.id!r}: {path} cannot be read ({error.strerror or error}).") from error
    if state.st_size > MAX_MEMBER_BYTES:
        raise SamDataError(
            f"sample {sample.id!r}: {path} has {state.st_size} bytes, wanted at most {MAX_MEMBER_BYTES}; scale it down."
        )
    return state.st_size, state.st_mtime_ns


def _prepare(folder: Path, plan: _Plan, *, overwrite: bool) -> list[dict[str, Any]]:
    """Make the folder ready, and give the manifest entries of the shards that are there already."""
    found = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK_FILE)
    if not overwrite and PROGRESS in found:
        entries = _finished(folder, plan)
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        return entries
    if overwrite:
        for name in (MANIFEST, PROGRESS):
            (folder / name).unlink(missing_ok=True)
        for path in [*folder.glob("[0-9][0-9][0-9][0-9][0-9][0-9].tar"), *folder.glob(".*.tmp")]:
            path.unlink()
    elif found:
        raise SamDataError(f"{folder}: found {', '.join(found[:5])}, wanted a new or empty folder, or --overwrite.")
    with (folder / PROGRESS).open("w", encoding="utf-8") as file:
        file.write(to_json({"plan": plan.digest}, indent=None) + "\n")
    return []


def _finished(folder: Path, plan: _Plan) -> list[dict[str, Any]]:
    """Return the shards of an interrupted run, as far as they are whole and belong to the same plan."""
    lines = []
    # A line that was being written when the run ended is no line.
    with suppress(ValueError, RecursionError):
        for line in (folder / PROGRESS).read_text(encoding="utf-8").splitlines():
            lines.append(json.loads(line))
    if not lines or lines[0] != {"plan": plan.digest}:
        raise SamDataError(
            f"{folder}: found the shards of an interrupted run with other samples, images or settings. Give another "
            "folder, or --overwrite."
        )
    entries: list[dict[str, Any]] = []
    for number, entry in enumerate(lines[1:]):
        path = folder / f"{number:06d}.tar"
        if not isinstance(entry, dict) or entry.get("file") != path.name:
            break
        if not path.is_file() or sha256_of(path) != entry.get("sha256"):
            break
        entries.append(entry)
    with atomic_path(folder / PROGRESS) as temporary:
        kept = [lines[0], *entries]
        temporary.write_text("".join(to_json(line, indent=None) + "\n" for line in kept), encoding="utf-8")
    return entries


def _append(folder: Path, entry: dict[str, Any]) -> None:
    with (folder / PROGRESS).open("a", encoding="utf-8") as file:
        file.write(to_json(entry, indent=None) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _write_shard(
    folder: Path, name: str, samples: Sequence[MultiImageSample], run: range, root: Path, shard_bytes: int
) -> dict[str, Any]:
    """Write one shard; return its entry in the manifest."""
    members = (member for index in run for member in _members(f"{index:09d}", samples[index], root))
    written = write_shard(folder / name, members)
    if written["bytes"] > shard_bytes:
        (folder / name).unlink()
        raise SamDataError(f"{folder / name}: images grew while they were read; start again when they rest.")
    return {"file": name, "samples": len(run), **written}


def _members(key: str, sample: MultiImageSample, root: Path) -> Iterator[tuple[str, str, bytes]]:
    try:
        contents = [(root / image).read_bytes() for image in sample.images]
    except OSError as error:
        raise SamDataError(f"sample {sample.id!r}: {error.filename} cannot be read ({error.strerror}).") from error
    record = to_record(sample)
    record[CHECKSUMS] = {"record": record_checksum(record), "pictures": [zlib.crc32(content) for content in contents]}
    yield key, ANNOTATION, to_json(record, indent=None).encode("utf-8")
    for number, (image, content) in enumerate(zip(sample.images, contents, strict=True), start=1):
        yield key, image_name(number, image), content
