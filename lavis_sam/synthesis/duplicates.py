"""Near duplicates over the whole data set, by perceptual hash.

A sample is a near duplicate when each of its images is nearly one of an earlier sample's images, in any order. One
common image is not enough: two covers of one author may each meet a third in a pair of their own.
"""

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from lavis_sam.synthesis.records import Rgb

# Bits of a hash: 8 x 8 low frequencies of the image's brightness.
_HASH_SIDE = 8
FARTHEST = _HASH_SIDE**2
_FIRST_SIZE = 1024


def image_hash(image: Rgb) -> str:
    """Return the 64-bit perceptual hash (pHash) of an image [H, W, 3], 16 hexadecimal digits."""
    return str(imagehash.phash(Image.fromarray(image), hash_size=_HASH_SIDE))


class DuplicateIndex:
    """The images of all samples accepted so far; asked and filled in the order of the data set.

    It takes 8 bytes an image; a question takes one pass over them, under a millisecond for 100,000 images.
    """

    def __init__(self) -> None:
        self._hashes = np.zeros((0, 0), np.uint64)
        self._slots = np.zeros(0, np.int64)
        self._count = 0

    def nearest(self, hashes: tuple[str, ...]) -> tuple[int | None, int]:
        """Return the accepted sample that shows most nearly the same.

        Returns:
            Its slot (None when there is no sample) and its distance: the differing bits of the new sample's image
            that fits it worst, at most 64.
        """
        if not self._count or not hashes:
            return None, FARTHEST
        worst = np.zeros(self._count, np.uint8)
        for value in hashes:
            distances: npt.NDArray[np.uint8] = np.bitwise_count(
                self._hashes[:, : self._count] ^ np.uint64(int(value, 16))
            )
            np.maximum(worst, distances.min(axis=0), out=worst)
        nearest = int(worst.argmin())
        return int(self._slots[nearest]), int(worst[nearest])

    def add(self, slot: int, hashes: tuple[str, ...]) -> None:
        """Remember an accepted sample's images; all samples of a run have equally many."""
        if self._count == len(self._slots):
            self._grow(len(hashes))
        self._hashes[:, self._count] = [int(value, 16) for value in hashes]
        self._slots[self._count] = slot
        self._count += 1

    def _grow(self, images: int) -> None:
        size = max(_FIRST_SIZE, 2 * self._count)
        hashes, slots = np.zeros((images, size), np.uint64), np.zeros(size, np.int64)
        if self._count:
            hashes[:, : self._count], slots[: self._count] = self._hashes, self._slots
        self._hashes, self._slots = hashes, slots
