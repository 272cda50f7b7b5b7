"""`type: webdataset`: shards from anywhere, read once and forwards through webdataset's pipeline.

The shards of an epoch are put in a random order, split by process and by worker, read one after the other, and their
samples shuffled in a buffer. A position is a place in this row, so a run can be continued at the exact sample, with the
same numbers of processes and workers, by reading one shard and one buffer again. `type: shards` does without all of
these limits; it needs shards on a disk.

Of webdataset are the pipeline (`DataPipeline`), the split by worker, the meaning of a storage (`expand_urls`), and
pipes and URLs (`gopen`). The split by process is ours because webdataset's asks the environment and not the run.
Reading and grouping members is ours for the reasons that `archive` gives, and because webdataset's handlers lose what
they pass over. The shuffle is ours because a position in webdataset's cannot be saved without its whole buffer.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import webdataset
from PIL import Image
from torch.utils.data import IterableDataset

from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.guarded import DamagedSampleError, Unusable
from lavis_sam.datasets.multi_image import augmentation_seed, make_item, unprocessed
from lavis_sam.datasets.shards.archive import read_members
from lavis_sam.datasets.shards.images import checked_contents, decode_contents, read_place
from lavis_sam.datasets.shards.index import read_records
from lavis_sam.datasets.shards.layout import ShardFile, shard_files, unpacker
from lavis_sam.datasets.shards.samples import (
    LARGE_BYTES,
    MAX_RECORD_BYTES,
    StoredImage,
    StoredSample,
    is_image,
    is_no_image,
    is_record,
    stored_samples,
)
from lavis_sam.errors import SamConfigurationError, SamDataError, SamError

SHUFFLE_BUFFER = 1000
# What webdataset opens itself; anything else with a scheme is a matter of fsspec.
_OF_WEBDATASET = ("pipe:", "http://", "https://")


@dataclass(frozen=True)
class _Entry:
    """A sample, or what there is in its place; `shard` and `ordinal` say where it comes in its worker's row."""

    shard: int
    ordinal: int
    number: int
    stored: StoredSample | Unusable


class ShardStream(IterableDataset[Any]):
    """Samples of shards, one after the other; damaged ones come as `Unusable`, so that none is lost in silence.

    An item depends on (seed, epoch, shard, place in the shard) alone; which process gets it depends on the numbers of
    processes and workers.

    Attributes:
        shards: Local paths (absolute), `pipe:` commands and URLs.
        samples: How many samples an epoch has, as far as is known.
        seed: Seed of all shuffling and of the random augmentation.
        epoch: Set by `set_epoch`.
    """

    def __init__(
        self,
        places: Iterable[str],
        transform: Callable[[Image.Image], Any] = unprocessed,
        *,
        text_processor: Callable[[str], str] = unprocessed,
        prompt: str | None = None,
        shuffle_buffer: int = SHUFFLE_BUFFER,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        """Count the samples, unless their number is given; the shards are read by whoever iterates.

        Args:
            places: Local paths of tar files or of folders of shards, `pipe:` commands, and URLs; see
                `lavis_sam.files.expand_storage`.
            transform: PIL image -> tensor [3, H, W].
            text_processor: Text -> text, for instructions and answers.
            prompt: The instruction of samples that bring none.
            shuffle_buffer: Samples that are shuffled together; up to twice as many are in memory, as they are stored.
            samples: How many samples there are; what is not on the disk cannot be counted.
            seed: Seed of all shuffling and of the random augmentation.

        Raises:
            SamConfigurationError: Remote shards without a number of samples; a file system that is not installed.
            SamDataError: No shards, or none with a whole sample.
        """
        if shuffle_buffer < 1:
            raise SamConfigurationError(f"build_info.shuffle_buffer: found {shuffle_buffer}, wanted at least 1.")
        self.shards, counted = _listed(places, count=samples is None, prompt=prompt)
        self.samples = counted if samples is None else samples
        self.seed, self.epoch, self._transform, self._text_processor = seed, 0, transform, text_processor
        self._prompt, self._buffer = prompt, shuffle_buffer
        self._rank, self._world_size = 0, 1
        self._position = self._start = (0, 0, 0)

    def __len__(self) -> int:
        """Return the number of an epoch's samples, as far as is known."""
        return self.samples

    def split(self, rank: int, world_size: int, workers: int) -> None:
        """Choose the share of this process.

        Raises:
            SamConfigurationError: Some worker would get no shard.
        """
        if len(self.shards) < world_size * workers:
            raise SamConfigurationError(
                f"type: webdataset: found {len(self.shards)} shard(s) for {world_size} process(es) with {workers} "
                f"worker(s) each, wanted at least {world_size * workers}: one for each worker. Lower run.num_workers, "
                "write more and smaller shards (`lavis-sam data shards --megabytes`), or use `type: shards`."
            )
        self._rank, self._world_size = rank, world_size

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; call it before a loader starts its workers."""
        self.epoch, self._start = epoch, (0, 0, 0)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the order besides epoch, processes and workers."""
        digest = hashlib.blake2b("\n".join(self.shards).encode(), digest_size=8).hexdigest()
        return {"shards": digest, "shuffle_buffer": self._buffer, "seed": self.seed}

    def state_dict(self) -> dict[str, int]:
        """Return the position of this worker behind the last item: where its buffer began, and how much is taken."""
        return dict(zip(("shard", "sample", "taken"), self._position, strict=True))

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration begin at a position of `state_dict`."""
        self._start = (state["shard"], state["sample"], state["taken"])

    def collater(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Pad samples to a batch; see `collate_multi_image`."""
        return collate_multi_image(samples)

    def __iter__(self) -> Iterator[dict[str, Any] | Unusable]:
        """Return the items of this process and worker, from the position on."""
        self._position = self._start
        return iter(
            webdataset.DataPipeline(
                self._shuffled_shards, webdataset.split_by_worker, self._entries, self._shuffled, self._items
            )
        )

    # Stages of the pipeline ------------------------------------------------------------------------------------------

    def _shuffled_shards(self) -> Iterator[tuple[int, str]]:
        numbered = list(enumerate(self.shards))
        random.Random(f"{self.seed} {self.epoch}").shuffle(numbered)
        return islice(numbered, self._rank, None, self._world_size)

    def _entries(self, shards: Iterable[tuple[int, str]]) -> Iterator[_Entry]:
        first, skipped, _ = self._start
        for shard, (number, url) in enumerate(shards):
            if shard < first:
                continue
            for ordinal, stored in enumerate(self._read(url)):
                if shard > first or ordinal >= skipped:
                    yield _Entry(shard, ordinal, number, stored)

    def _read(self, url: str) -> Iterator[StoredSample | Unusable]:
        """Yield the samples of a shard; what ends the shard comes last."""
        try:
            file = open_shard(url)
            try:
                wants = _wants_of_file if os.path.isabs(url) else _wants
                yield from stored_samples(read_members(file, url, wants, _refuses), url, self._prompt)
            except BaseException:
                with suppress(OSError):  # a command that was stopped half-way says so
                    file.close()
                raise
            file.close()  # a command that failed says so here
        except SamError as error:
            yield Unusable(error)
        except Exception as error:  # every remote file system has errors of its own
            yield Unusable(SamDataError(f"{url}: cannot be read to its end ({type(error).__name__}: {error})."))

    def _shuffled(self, entries: Iterator[_Entry]) -> Iterator[_Entry]:
        """Shuffle `shuffle_buffer` entries at a time; while they are handed out, the next ones are read."""
        block, taken = list(islice(entries, self._buffer)), self._start[2]
        while block:
            first, following = block[0], list[_Entry]()
            order = list(range(len(block)))
            random.Random(f"{self.seed} {self.epoch} {first.number} {first.ordinal}").shuffle(order)
            for count, index in enumerate(order, start=1):
                following += islice(entries, 1)
                if count > taken:
                    self._position = (first.shard, first.ordinal, count)
                    yield block[index]
            block, taken = following, 0

    def _items(self, entries: Iterable[_Entry]) -> Iterator[dict[str, Any] | Unusable]:
        for entry in entries:
            try:
                yield self._item(entry)
            except SamError as error:
                yield Unusable(error)

    def _item(self, entry: _Entry) -> dict[str, Any] | Unusable:
        """Return the item of an entry, or what there is in its place.

        Raises:
            DamagedSampleError: The sample, or one of its images, is damaged.
        """
        stored = entry.stored
        if isinstance(stored, Unusable):
            return stored
        if stored.sample is None or stored.problems:
            raise DamagedSampleError("; ".join(f"{problem.place}: {problem.message}" for problem in stored.problems))
        found = ((image, self._content(entry, image)) for image in stored.images)
        images = decode_contents(checked_contents(found, stored.sample), stored.sample)
        index = entry.number * 1_000_003 + entry.ordinal
        seed = augmentation_seed(self.seed, self.epoch, index)
        return make_item(stored.sample, images, self._transform, self._text_processor, seed)

    def _content(self, entry: _Entry, image: StoredImage) -> bytes:
        if image.content is not None:
            return image.content
        shard = self.shards[entry.number]
        try:
            with open(shard, "rb", buffering=0) as file:
                return read_place(file.fileno(), image)
        except OSError as error:
            raise SamDataError(f"{shard}: cannot be read any more ({error.strerror or error}).") from error


def open_shard(url: str) -> BinaryIO:
    """Open a local path, a `pipe:` command or a URL for reading forwards.

    Raises:
        OSError: It cannot be opened.
    """
    if os.path.isabs(url):
        return open(url, "rb", buffering=0)
    if url.startswith(_OF_WEBDATASET):
        return webdataset.gopen(url)
    import fsspec  # not needed by anybody else

    return fsspec.open(url, "rb").open()


def _wants(name: str, size: int) -> bool:
    return is_image(name) or (is_record(name) and size <= MAX_RECORD_BYTES)


def _wants_of_file(name: str, size: int) -> bool:
    """Return what to read of a file on the disk: large images wait there for their turn, and not in the buffer."""
    return _wants(name, size) and not (is_image(name) and size > LARGE_BYTES)


def _refuses(name: str, size: int, start: bytes) -> bool:
    return is_image(name) and is_no_image(size, start)


def _listed(places: Iterable[str], *, count: bool, prompt: str | None) -> tuple[list[str], int]:
    """Return every shard, and how many samples they have."""
    files: list[str] = []
    samples = 0
    for place in places:
        if not os.path.isabs(place):
            _check_remote(place, count=count)
            files.append(place)
            continue
        for shard in shard_files(Path(place)):
            files.append(str(shard.path))
            samples += _samples_in(shard, prompt) if count else 0
    if not files or (count and not samples):
        raise SamDataError(f"type: webdataset: found {len(files)} shard(s) with no whole sample, wanted at least one.")
    return files, samples


def _samples_in(shard: ShardFile, prompt: str | None) -> int:
    if shard.samples is not None:
        return shard.samples
    return sum(stored.sample is not None and not stored.problems for stored in read_records(shard.path, prompt))


def _check_remote(url: str, *, count: bool) -> None:
    """Raise `SamConfigurationError` for a URL that cannot be read or counted."""
    program = None if url.startswith("pipe:") else unpacker(url.partition("?")[0])
    if program is not None:
        raise SamConfigurationError(
            f"{url}: found a compressed tar file, wanted a .tar, or a command that unpacks it, such as "
            f"`pipe:curl -sL {url} | {program} -c`."
        )
    if not url.startswith(_OF_WEBDATASET):
        import fsspec

        try:
            fsspec.get_filesystem_class(url.partition("://")[0])
        except (ImportError, ValueError) as error:
            raise SamConfigurationError(f"{url}: cannot be opened here: {error}") from error
    if count:
        raise SamConfigurationError(
            f"{url}: its samples cannot be counted from here; say with build_info.samples how many an epoch has."
        )
