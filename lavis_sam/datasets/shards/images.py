"""The images of shards, each read by its place."""

import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from lavis_sam.datasets.image_check import Check, in_threads
from lavis_sam.datasets.images import to_rgb, whole_images_only
from lavis_sam.datasets.problems import AnnotationProblem, AnnotationReport, DamagedSampleError
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards.index import ShardIndex, index_shards
from lavis_sam.datasets.shards.samples import DAMAGED, START_BYTES, StoredImage, is_no_image
from lavis_sam.errors import SamDataError

if TYPE_CHECKING:
    import torch

_MOST_OPEN_FILES = 64
# Neighbouring shards whose samples are shuffled together: enough to mix well, few enough to be read from few places.
_MIXED_SHARDS = 16


class ShardImages:
    """Reads the images of an index's samples, by the samples' numbers.

    Attributes:
        index: The shards, the samples' places, and the report of what was passed over.
        root: None, because there is no folder of images.
    """

    root = None

    def __init__(self, index: ShardIndex) -> None:
        """No file is opened here."""
        self.index = index
        self._files = _OpenFiles([str(file.path) for file in index.files])

    def contents(self, number: int) -> list[bytes]:
        """Return a sample's N image files, unchanged.

        Raises:
            DamagedSampleError: One is damaged.
            SamDataError: The shard vanished.
        """
        return list(self._contents(number))

    def decoded(self, number: int, sample: MultiImageSample) -> Iterator[Image.Image]:
        """Yield the N images of sample `number` as RGB.

        Raises:
            DamagedSampleError: One is damaged.
            SamDataError: The shard vanished.
        """
        return decode_contents(self._contents(number), sample)

    def content(self, number: int, position: int) -> bytes:
        """Return one image file of a sample, unchanged; see `contents` for what is raised."""
        return next(self._contents(number, position))

    def image(self, number: int, sample: MultiImageSample, position: int) -> Image.Image:
        """Return one image of sample `number` as RGB; see `decoded` for what is raised."""
        return next(decode_contents(self._contents(number, position), sample, position))

    def _contents(self, number: int, first: int = 0) -> Iterator[bytes]:
        place = self.index.places[number]
        found = ((image, self._files.read(place.shard, image)) for image in place.images[first:])
        return checked_contents(found, self.index.report.samples[number], first)

    def nearby_order(self, count: int, generator: "torch.Generator") -> list[int]:
        """Return all numbers at random, such that neighbours come from a few shards.

        The shards are shuffled, and then the samples of every 16 of them together.
        """
        import torch  # which only training needs

        shards: list[list[int]] = [[] for _ in self.index.files]
        for number, place in enumerate(self.index.places):
            shards[place.shard].append(number)
        order = torch.randperm(len(shards), generator=generator).tolist()
        numbers: list[int] = []
        for first in range(0, len(order), _MIXED_SHARDS):
            together = [number for shard in order[first : first + _MIXED_SHARDS] for number in shards[shard]]
            numbers += [together[i] for i in torch.randperm(len(together), generator=generator).tolist()]
        return numbers


def checked_contents(
    found: Iterable[tuple[StoredImage, bytes]], sample: MultiImageSample, first: int = 0
) -> Iterator[bytes]:
    """Compare images with what the shard says of them, and yield them.

    Args:
        first: The position of the first one in the sample.

    Raises:
        DamagedSampleError: One is cut off, large and no image, or has another checksum.
    """
    for count, (image, data) in enumerate(found, start=first + 1):
        if is_no_image(image.size, data):
            raise DamagedSampleError(f"{_name(sample)}: image {count} has {image.size} bytes and is no image")
        if len(data) < image.size:
            raise DamagedSampleError(f"{_name(sample)}: image {count} was cut off")
        if image.crc32 is not None and zlib.crc32(data) != image.crc32:
            raise DamagedSampleError(f"{_name(sample)}: image {count}'s checksum (CRC-32) is wrong")
        yield data


def decode_contents(contents: Iterable[bytes], sample: MultiImageSample, first: int = 0) -> Iterator[Image.Image]:
    """Yield a sample's image files as RGB, each when it is asked for.

    Args:
        first: The position of the first one in the sample.

    Raises:
        DamagedSampleError: One is no whole image, or an absurdly large one.
    """
    for count, data in enumerate(contents, start=first + 1):
        try:
            image = to_rgb(data, f"image {count}")
        except SamDataError as error:
            raise DamagedSampleError(f"{_name(sample)}: {error}") from error
        yield image


def read_place(descriptor: int, image: StoredImage) -> bytes:
    """Read an image's bytes from an open shard; fewer where the file ends, and few where a large one is no image.

    Raises:
        OSError: The file cannot be read.
    """
    start = os.pread(descriptor, min(image.size, START_BYTES), image.offset)
    return start if is_no_image(image.size, start) else os.pread(descriptor, image.size, image.offset)


def _name(sample: MultiImageSample) -> str:
    return f"sample {sample.id!r} ({sample.source})"


def scan_shards(paths: Iterable[str | os.PathLike[str]], *, check: Check = "quick") -> AnnotationReport:
    """Look shards through and report, instead of raising, what is wrong with them.

    Args:
        paths: Folders of shards, or tar files.
        check: As for `index_shards`; "full" decodes every image as well.

    Raises:
        SamDataError: No shards, or a member that may do harm.
    """
    index = index_shards(paths, check=check)
    if check != "full":
        return index.report
    images, samples = ShardImages(index), index.report.samples

    def damage(number: int) -> str | None:
        try:
            for _ in images.decoded(number, samples[number]):
                pass
        except DamagedSampleError as error:
            return str(error)
        return None

    # Around all threads: the switch is one for the process.
    with whole_images_only():
        messages = in_threads(damage, range(len(samples)), "samples")
    report = AnnotationReport(problems=list(index.report.problems))
    for sample, message in zip(samples, messages, strict=True):
        if message is None:
            report.samples.append(sample)
        else:
            report.problems.append(AnnotationProblem(DAMAGED, sample.source, message))
    return report


class _OpenFiles:
    """Reads from many files, of which the last used stay open; works in forked and spawned workers alike.

    Reading names its place each time (`pread`), so processes that inherited an open file do not disturb one another.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)
        self._open: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, number: int, image: StoredImage) -> bytes:
        """Return the bytes of an image in file `number`; fewer, where the file ends."""
        with self._lock:
            try:
                return read_place(self._descriptor(number), image)
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
