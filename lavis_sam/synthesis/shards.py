"""webdataset tar shards, the same bytes whenever they are written.

A sample is `<id>.json` (its annotation) and `<id>.1.jpg`, `<id>.2.jpg`, …: what webdataset groups by the name up to the
first dot.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from lavis_sam.files import atomic_path, to_json

SHARDS = "shards"


def write_shards(root: Path, annotations: Iterable[Mapping[str, Any]], shard_size: int) -> list[dict[str, Any]]:
    """Write DIR/shards/000000.tar, … from DIR's annotations and images.

    Args:
        root: The data set's folder.
        annotations: In order.
        shard_size: Samples in a shard.

    Returns:
        One entry a shard for the manifest: file, samples, bytes, sha256.
    """
    entries = []
    for number, chunk in enumerate(_chunks(annotations, shard_size)):
        file = f"{SHARDS}/{number:06d}.tar"
        with atomic_path(root / file) as temporary:
            with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
                for annotation in chunk:
                    _add_sample(tar, root, annotation)
            with temporary.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            size = temporary.stat().st_size
        entries.append({"file": file, "samples": len(chunk), "bytes": size, "sha256": digest})
    for path in sorted((root / SHARDS).glob("*.tar")):
        if f"{SHARDS}/{path.name}" not in {entry["file"] for entry in entries}:
            path.unlink()
    return entries


def _chunks(items: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _add_sample(tar: tarfile.TarFile, root: Path, annotation: Mapping[str, Any]) -> None:
    identity = str(annotation["id"])
    _add(tar, f"{identity}.json", to_json(annotation, indent=None).encode("utf-8"))
    for index, file in enumerate(annotation["img_list"], start=1):
        _add(tar, f"{identity}.{index}{Path(file).suffix}", (root / file).read_bytes())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """A member without owner, date or anything else that differs between machines."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def read_shard(path: Path) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """(annotation, images' contents) of every sample of a shard."""
    with tarfile.open(path) as tar:
        annotation: dict[str, Any] = {}
        images: list[bytes] = []
        for member in tar:
            content = tar.extractfile(member)
            if content is None:
                continue
            if member.name.endswith(".json"):
                if annotation:
                    yield annotation, images
                annotation, images = json.loads(content.read()), []
            else:
                images.append(content.read())
        if annotation:
            yield annotation, images
