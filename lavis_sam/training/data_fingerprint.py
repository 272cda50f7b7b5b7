"""What training samples a run has, as a hash: ids, texts and image names; of a stream its shards.

Apart from `training_data`: what is hashed is kept in checkpoints, so it must not change when loading does.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.fingerprint import samples_fingerprint

# Read of each shard of a stream: shards of like size differ within their first samples.
_SHARD_BYTES = 65536


def dataset_fingerprint(dataset: Any) -> str | None:
    """Return a hash of what a map-style data set's `annotation` says, in order; None where it does not say.

    LAVIS's own data sets have lists of plain records there; ours have `MultiImageSample`s.
    """
    records = getattr(dataset, "annotation", None)
    if not isinstance(records, list):
        return None
    if all(isinstance(record, MultiImageSample) for record in records):
        return samples_fingerprint(records)
    digest = hashlib.sha256()
    try:
        for record in records:
            digest.update(json.dumps(record, sort_keys=True).encode() + b"\n")
    except (TypeError, ValueError):  # something that is no plain data
        return None
    return digest.hexdigest()


def stream_fingerprint(shards: Sequence[str]) -> str:
    """Return a hash of a stream's shards in order: of files name, size and beginning, of others the address."""
    digest = hashlib.sha256()
    for shard in shards:
        if not os.path.isfile(shard):
            # What stands behind "?" in a URL is often a signature that is new each time.
            address = shard.partition("?")[0] if shard.startswith(("http://", "https://")) else shard
            digest.update(f"{address}\n".encode())
            continue
        with open(shard, "rb") as file:
            digest.update(f"{os.path.basename(shard)} {os.fstat(file.fileno()).st_size}\n".encode())
            digest.update(file.read(_SHARD_BYTES))
    return digest.hexdigest()
