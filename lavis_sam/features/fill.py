"""Compute the features that a cache lacks: by all processes, in shards that a killed run does not lose."""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from lavis_sam import distributed
from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.features.crops import FixedCrops
from lavis_sam.features.precision import TYPES, entry_bytes
from lavis_sam.features.store import FeatureStore
from lavis_sam.progress import ProgressDisplay
from lavis_sam.signals import ignore_signals_in_worker

logger = logging.getLogger(__name__)

# Images in one pass of the encoder.
BATCH = 16
# A shard ends at this size or after this time, so that little is lost when a run is killed.
SHARD_BYTES = 256 * 1024**2
SHARD_SECONDS = 60.0
_GB = 1e9
# Of the free disk, what is left to others.
_SPARE = 0.05


@dataclass(frozen=True)
class Work:
    """What is missing of one sample.

    Attributes:
        source: The data set's images.
        index: The sample.
        wanted: (position, crop), by position.
        keys: Of each.
    """

    source: FixedCrops
    index: int
    wanted: tuple[tuple[int, int], ...]
    keys: tuple[str, ...]


def missing_work(sources: Iterable[FixedCrops], store: FeatureStore) -> list[Work]:
    """Return what a cache lacks of some data sets; each entry once."""
    found, seen = [], set()
    for source in sources:
        by_sample: dict[int, list[tuple[tuple[int, int], str]]] = {}
        for index, position, crop, key in source.entries():
            if key not in store and key not in seen:
                seen.add(key)
                by_sample.setdefault(index, []).append(((position, crop), key))
        for index, entries in by_sample.items():
            wanted, keys = zip(*entries, strict=True)
            found.append(Work(source, index, wanted, keys))
    return found


def check_room(folder: Path, count: int, store: FeatureStore, limit_gb: float | None) -> None:
    """Refuse to begin what does not fit on the disk, or into the limit.

    Args:
        count: Entries that are to be added.
        limit_gb: The most that all entries may take.

    Raises:
        SamConfigurationError: The message says what other precisions would take.
    """
    identity = store.identity
    size = entry_bytes(identity.patches, identity.width, identity.precision)
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free * (1 - _SPARE)
    total, limit = (len(store) + count) * size, None if limit_gb is None else limit_gb * _GB
    if count * size <= free and (limit is None or total <= limit):
        return
    others = ", ".join(
        f"{name} {(len(store) + count) * entry_bytes(identity.patches, identity.width, name) / _GB:.1f} GB"
        for name in TYPES
    )
    room = f"{free / _GB:.1f} GB are free" if count * size > free else f"run.feature_cache_gb allows {limit_gb:g} GB"
    raise SamConfigurationError(
        f"run.feature_cache: {folder} would hold {len(store) + count} entries of {size / 1e6:.3f} MB, "
        f"{total / _GB:.1f} GB, and {room}. Take fewer run.feature_crops, or another run.feature_cache_precision "
        f"({others}), or another disk."
    )


def fill(work: Sequence[Work], store: FeatureStore, encoder: Callable[..., Any], **options: Any) -> int:
    """Compute this process's share of the work; return how many entries it wrote.

    Args:
        work: The same on all processes.
        encoder: Images [n, 3, H, W] -> features [n, P, D_v].
        options: Of the loader: `num_workers`.

    Raises:
        SamDataError: Features are not finite.
    """
    share = work[distributed.rank() :: distributed.world_size()]
    loader = DataLoader(
        _Images(share),
        batch_size=None,
        worker_init_fn=ignore_signals_in_worker,
        generator=torch.Generator().manual_seed(0),
        **options,
    )
    total = sum(len(part.keys) for part in share)
    shard, waiting, done = _Shard(store), _Waiting(), 0
    with ProgressDisplay("features", total, active=distributed.is_main_process()) as display:
        for keys, images, problems in loader:
            for problem in problems:
                logger.warning("feature cache: left out %s", problem)
            waiting.add(keys, images)
            while len(waiting.keys) >= BATCH:
                done += shard.add(*waiting.take(BATCH), encoder)
                display.show(done, f"features of {done} of {total} images")
        if waiting.keys:
            done += shard.add(*waiting.take(BATCH), encoder)
        shard.write()
    return done


class _Images(Dataset[tuple[list[str], list[torch.Tensor], list[str]]]):
    """Of each work the keys and images [3, H, W] that can be read, and what is wrong with each image that cannot."""

    def __init__(self, share: Sequence[Work]) -> None:
        self.share = share

    def __len__(self) -> int:
        return len(self.share)

    def __getitem__(self, number: int) -> tuple[list[str], list[torch.Tensor], list[str]]:
        work = self.share[number]
        keys: list[str] = []
        images: list[torch.Tensor] = []
        problems: list[str] = []
        # Image by image: one that is damaged takes none of the others with it, which other samples may share.
        for _, entries in groupby(zip(work.wanted, work.keys, strict=True), key=lambda entry: entry[0][0]):
            wanted, found = zip(*entries, strict=True)
            try:
                images += list(work.source.images(work.index, wanted))
                keys += found
            except SamError as error:
                problems.append(str(error))
        return keys, images, problems


class _Waiting:
    """Images that wait for a whole batch."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._images: list[torch.Tensor] = []

    def add(self, keys: Sequence[str], images: Sequence[torch.Tensor]) -> None:
        """Let images [3, H, W] wait."""
        self.keys += keys
        self._images += images

    def take(self, count: int) -> tuple[list[str], torch.Tensor]:
        """Return the first `count` keys and their images."""
        keys, images = self.keys[:count], torch.stack(self._images[:count])
        del self.keys[:count], self._images[:count]
        return keys, images


class _Shard:
    """Features that wait for a whole shard."""

    def __init__(self, store: FeatureStore) -> None:
        identity = store.identity
        self._store = store
        self._most = max(1, SHARD_BYTES // entry_bytes(identity.patches, identity.width, identity.precision))
        self._keys: list[str] = []
        self._features: list[torch.Tensor] = []
        self._begun = time.monotonic()

    @torch.no_grad()
    def add(self, keys: list[str], images: torch.Tensor, encoder: Callable[..., Any]) -> int:
        """Encode images [n, 3, H, W], write the shard when it is full or old, and return how many there were."""
        self._keys += keys
        self._features.append(encoder(images).float().cpu())
        if len(self._keys) >= self._most or time.monotonic() - self._begun > SHARD_SECONDS:
            self.write()
        return len(keys)

    def write(self) -> None:
        """Write what waits, if anything does."""
        if self._keys:
            self._store.add(self._keys, torch.cat(self._features))
        self._keys, self._features, self._begun = [], [], time.monotonic()
