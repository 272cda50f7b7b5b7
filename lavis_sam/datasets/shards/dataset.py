"""The data set that reads from shards."""

import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from PIL import Image

from lavis_sam.datasets.images import decode_image
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.datasets.pictures import Check
from lavis_sam.datasets.report import names
from lavis_sam.datasets.schema import MultiImageSample, accept
from lavis_sam.datasets.shards.index import Picture, ShardIndex, index_shards
from lavis_sam.errors import SamDataError

# Neighbouring shards whose samples are shuffled together: enough to mix well, few enough to be read from few places.
_MIXED_SHARDS = 16
_MOST_OPEN_FILES = 64


class DamagedSampleError(SamDataError):
    """A sample's picture in a shard is not what was written there; a training run passes over it and counts it."""


class ShardDataset(MultiImageDataset):
    """Samples out of tar shards, otherwise as `MultiImageDataset`: map-style, the same items for the same pictures.

    Every sample is read by itself, by its place in the shard. Which process and which worker reads it is therefore the
    sampler's choice, and so is the position that a checkpoint keeps; `nearby_order` gives the sampler a random order
    that still reads the disk in long stretches.

    What is damaged in the tar itself is passed over when the shards are opened; a damaged picture is noticed when its
    sample is read, and raises `DamagedSampleError`.

    Attributes:
        index: The shards, the samples' places, and the report of what was passed over.
    """

    index: ShardIndex

    def __init__(
        self,
        vis_processor: Callable[[Image.Image], torch.Tensor],
        text_processor: Callable[[str], str],
        vis_root: str | os.PathLike[str] = "",
        ann_paths: Sequence[str | os.PathLike[str]] = (),
        seed: int = 0,
        check: Check = "quick",
        strict: bool = False,
    ) -> None:
        """Look the shards through.

        Args:
            vis_processor: PIL picture -> tensor [3, H, W].
            text_processor: Text -> text.
            vis_root: Not used; the pictures are in the shards.
            ann_paths: Folders of shards, or tar files.
            seed: Seed of the random augmentation.
            check: "full" compares the shards' SHA-256 first; see `index_shards`.
            strict: Any damage is an error; otherwise damaged samples are passed over, and the log says how many.

        Raises:
            SamDataError: No shards, a member that may do harm, no whole sample, or, if `strict`, any damage.
        """

        def read(paths: Sequence[str | os.PathLike[str]], _root: str | os.PathLike[str]) -> list[MultiImageSample]:
            self.index = index_shards(paths, check=check)
            return accept(self.index.report, f"shards {names(paths)}", strict=strict)

        super().__init__(vis_processor, text_processor, vis_root, ann_paths, seed, read=read)
        self._files = _OpenFiles([str(file.path) for file in self.index.files])

    def pictures(self, index: int) -> list[Image.Image]:
        """The sample's N pictures as RGB, before any processor.

        Raises:
            DamagedSampleError: One is damaged.
            SamDataError: The shard vanished.
        """
        contents = self.picture_bytes(index)
        try:
            return [decode_image(data, f"picture {number}") for number, data in enumerate(contents, start=1)]
        except SamDataError as error:
            raise DamagedSampleError(f"{self._name(index)}: {error}") from error

    def picture_bytes(self, index: int) -> list[bytes]:
        """The sample's N picture files, unchanged.

        Raises:
            DamagedSampleError: One is damaged.
            SamDataError: The shard vanished.
        """
        place = self.index.places[index]
        contents = []
        for number, picture in enumerate(place.pictures, start=1):
            data = self._files.read(place.shard, picture)
            if len(data) < picture.size:
                raise DamagedSampleError(f"{self._name(index)}: picture {number} was cut off")
            if picture.crc32 is not None and zlib.crc32(data) != picture.crc32:
                raise DamagedSampleError(f"{self._name(index)}: picture {number}'s checksum (CRC-32) is wrong")
            contents.append(data)
        return contents

    def nearby_order(self, generator: torch.Generator) -> list[int]:
        """All indices once, at random, such that neighbours come from a few shards.

        The shards are shuffled, and then the samples of every 16 of them together.
        """
        shards: list[list[int]] = [[] for _ in self.index.files]
        for index, place in enumerate(self.index.places):
            shards[place.shard].append(index)
        order = torch.randperm(len(shards), generator=generator).tolist()
        indices: list[int] = []
        for first in range(0, len(order), _MIXED_SHARDS):
            together = [index for shard in order[first : first + _MIXED_SHARDS] for index in shards[shard]]
            indices += [together[i] for i in torch.randperm(len(together), generator=generator).tolist()]
        return indices

    def _name(self, index: int) -> str:
        return f"sample {self.annotation[index].id!r} ({self.annotation[index].source})"


class _OpenFiles:
    """Reads from many files, of which the last used stay open; works in forked and spawned workers alike.

    Reading names its place each time (`pread`), so processes that inherited an open file do not disturb one another.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)
        self._open: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, number: int, picture: Picture) -> bytes:
        """The bytes of a picture in file `number`; fewer, where the file ends."""
        with self._lock:
            try:
                return os.pread(self._descriptor(number), picture.size, picture.offset)
            except OSError as error:
                raise SamDataError(
                    f"{self._paths[number]}: cannot be read any more ({error.strerror or error}). Bring the shard back "
                    "and continue the run."
                ) from error

    def _descriptor(self, number: int) -> int:
        if number in self._open:
            self._open.move_to_end(number)
        else:
            while len(self._open) >= _MOST_OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[number] = os.open(self._paths[number], os.O_RDONLY)
        return self._open[number]

    def __getstate__(self) -> list[str]:
        return self._paths

    def __setstate__(self, paths: list[str]) -> None:
        self.__init__(paths)  # type: ignore[misc]

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
