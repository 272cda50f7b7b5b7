"""Fixed crops of each image: what a random transform makes of it with a few seeds of its own, drawn anew every epoch.

With and without a cache the same crops are drawn, so that both give the same run.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import torch

from lavis_sam.datasets.multi_image import MultiImageDataset, drawing_from
from lavis_sam.features.keys import Digest, crop_seed, entry_key
from lavis_sam.features.store import FeatureStore


class FixedCrops:
    """The images of a data set, each in one of its fixed crops.

    Attributes:
        dataset: Its store, samples and transform are used.
        digests: Of each sample's images; see `content_digests`.
        transform: What the transform does; see `transform_fingerprint`.
        crops: How many crops an image has; 1 where nothing is random.
    """

    def __init__(
        self, dataset: MultiImageDataset, digests: Sequence[Sequence[Digest | None]], transform: str, crops: int
    ) -> None:
        self.dataset, self.digests, self.transform, self.crops = dataset, digests, transform, crops

    def tensors(self, index: int, seed: int) -> dict[str, torch.Tensor]:
        """See `ImageSource`.

        Raises:
            SamDataError: An image is missing or damaged.
        """
        drawn = [(position, self.draw(seed, position)) for position in range(len(self.digests[index]))]
        return {"image": torch.stack(list(self.images(index, drawn)), dim=1)}

    def draw(self, seed: int, position: int) -> int:
        """Return the crop of a sample's image at a position: a number below `crops`."""
        digest = hashlib.blake2b(f"{seed} {position}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.crops

    def images(self, index: int, wanted: Sequence[tuple[int, int]]) -> Iterator[torch.Tensor]:
        """Yield transformed images [3, H, W] of a sample.

        Args:
            wanted: (position, crop), by position.

        Raises:
            SamDataError: An image is missing or damaged.
        """
        sample = self.dataset.annotation[index]
        for position, pairs in groupby(wanted, key=itemgetter(0)):
            image = self.dataset.store.image(index, sample, position)
            content = self.digests[index][position]
            for _, crop in pairs:
                # A file that could not be read before, and now can, has no seed of its own.
                with drawing_from(crop_seed(content or b"", crop)):
                    yield self.dataset.vis_processor(image)

    def key(self, index: int, position: int, crop: int) -> str | None:
        """Return the key of an image's crop; None where the image could not be read."""
        content = self.digests[index][position]
        return None if content is None else entry_key(content, self.transform, crop)

    def entries(self) -> Iterator[tuple[int, int, int, str]]:
        """Yield sample, position, crop and key of everything that the data set may ask for."""
        for index, contents in enumerate(self.digests):
            for position in range(len(contents)):
                for crop in range(self.crops):
                    if (key := self.key(index, position, crop)) is not None:
                        yield index, position, crop, key


class CachedFeatures(FixedCrops):
    """The features of the same crops, from a cache.

    Attributes:
        features: The cache.
    """

    def __init__(
        self,
        dataset: MultiImageDataset,
        digests: Sequence[Sequence[Digest | None]],
        transform: str,
        crops: int,
        features: FeatureStore,
    ) -> None:
        super().__init__(dataset, digests, transform, crops)
        self.features = features

    def tensors(self, index: int, seed: int) -> dict[str, torch.Tensor]:
        """See `ImageSource`.

        Raises:
            SamDataError: An image is missing or damaged, or its features are.
        """
        drawn = [(position, self.draw(seed, position)) for position in range(len(self.digests[index]))]
        keys = [self.key(index, *pair) for pair in drawn]
        if any(key is None or key not in self.features for key in keys):
            for _ in self.images(index, drawn):  # a damaged image has no features: name it as a run without cache does
                pass
        return {"image_features": torch.stack([self.features.load(key or "of an unread image") for key in keys])}
