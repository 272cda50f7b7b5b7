"""What an entry of the cache stands for, and which weights made it.

An entry's key is a hash of the image file's content, of the transform and of the crop's number: the same photograph
under two names, or in two data sets of one transform, is computed once. A transform is known by what it does: a hash
of what it makes of two fixed images says more than its name and settings.
"""

import hashlib
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from lavis_sam.datasets.image_check import in_threads
from lavis_sam.datasets.multi_image import drawing_from
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.errors import SamDataError

Transform = Callable[[Image.Image], Any]
Digest = bytes
_DIGEST_BYTES = 16
# Width and height: an image that is wide and one that is high.
_PROBES = ((320, 200), (150, 260))
# Random crops differ from one seed to the next; a changed range shows in one of several.
_PROBE_SEEDS = range(4)


def content_digests(dataset: Any) -> list[list[Digest | None]]:
    """Return a hash of every image file of a data set, sample by sample; None for a file that cannot be read.

    Args:
        dataset: With an `annotation` of samples and a `store` of their images.
    """
    store, samples = dataset.store, dataset.annotation
    if isinstance(store, ShardImages):

        def of_image(number: int, position: int) -> Digest | None:
            try:
                return _digest(store.content(number, position))
            except SamDataError:  # who asks for the sample gets the error, as without a cache
                return None

        def of_sample(number: int) -> list[Digest | None]:
            return [of_image(number, position) for position in range(len(samples[number].images))]

        return in_threads(of_sample, range(len(samples)), "samples")
    names = list(dict.fromkeys(name for sample in samples for name in sample.images))
    digests = in_threads(lambda name: _of_file(os.path.join(store.root, name)), names, "images")
    found = dict(zip(names, digests, strict=True))
    return [[found[name] for name in sample.images] for sample in samples]


def _of_file(path: str) -> Digest | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).digest()
    except OSError:
        return None


def _digest(content: bytes) -> Digest:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def entry_key(content: Digest, transform: str, crop: int) -> str:
    """Return the key of an image's crop under a transform: 32 hexadecimal digits."""
    return _digest(content + f" {transform} {crop}".encode()).hex()


def crop_seed(content: Digest, crop: int) -> int:
    """Return the seed of an image's crop."""
    return int.from_bytes(_digest(content + f" crop {crop}".encode())[:7])


def transform_fingerprint(transform: Transform) -> tuple[str, bool]:
    """Return a hash of what a transform does (32 hexadecimal digits), and whether it draws at random.

    Raises:
        SamDataError: It does not make a tensor of an image.
    """
    digest, is_random = hashlib.blake2b(digest_size=_DIGEST_BYTES), False
    for image in map(_probe, _PROBES):
        for seed in _PROBE_SEEDS:
            with drawing_from(seed):
                before = _random_states()
                made = transform(image)
                is_random |= not _same(before, _random_states())
            if not isinstance(made, torch.Tensor):
                raise SamDataError(
                    f"the transform of images makes a {type(made).__name__}, wanted a tensor; name a vis_processor"
                )
            digest.update(f"{tuple(made.shape)} {made.dtype} ".encode() + made.contiguous().numpy().tobytes())
    return digest.hexdigest(), is_random


def _probe(size: tuple[int, int]) -> Image.Image:
    width, height = size
    values = np.random.default_rng(width).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def _random_states() -> tuple[Any, Any, Any]:
    return torch.default_generator.get_state(), np.random.get_state(), random.getstate()


def _same(one: tuple[Any, Any, Any], other: tuple[Any, Any, Any]) -> bool:
    numpy_same = all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))
    return torch.equal(one[0], other[0]) and numpy_same and one[2] == other[2]


def vision_fingerprint(modules: Sequence[nn.Module]) -> str:
    """Return a hash of every number of the modules' parameters, their names, shapes and types: 64 digits."""
    digest = hashlib.sha256()
    for number, module in enumerate(modules):
        for name, parameter in sorted(module.named_parameters()):
            digest.update(f"{number} {name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
            digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
