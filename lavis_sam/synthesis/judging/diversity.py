"""How varied a multi-image data set is: contexts, near duplicates, vocabulary, instructions, and what its records know.

Of any set: two images are compared by their perceptual hashes (64 bits; two images at random differ in about 32). Of
one that `lavis-sam synthesize` made: attributes, scenes and positions as well.
"""

import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamDataError
from lavis_sam.progress import tracked
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.duplicates import DuplicateIndex, image_hash
from lavis_sam.synthesis.finished import reading_finished
from lavis_sam.synthesis.variety import Variety
from lavis_sam.synthesis.work_folder import MANIFEST

# Fewer differing bits than this make a near duplicate, as in `mmlink.yaml`.
NEAR = 5
# Images of one place with a small change differ in fewer bits than this; docs/synthesis/judging.md has measurements.
OTHER_CONTEXT = 18
_NEAREST_SHOWN = 10
_COMMON_SHOWN = 10
# Type-token ratios depend on the length of a text, so they are taken of pieces of one length (Covington, McFall 2010).
_WINDOW = 500
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

Hashes = tuple[str, ...]
# Number of a sample -> its images.
ImagesOf = Callable[[int], Sequence[Image.Image]]


def diversity(
    name: str, samples: Sequence[MultiImageSample], images: ImagesOf, root: Path, most: int | None = None
) -> dict[str, Any]:
    """Measure a data set.

    Args:
        samples: At least one.
        images: Reads a sample's images; used where no record has their hashes.
        root: The data set's folder, where records of a synthesis may be.
        most: Compare the images of so many samples, drawn at random; None compares all.

    Raises:
        SamDataError: Its records are damaged.
    """
    recorded, synthesis = _recorded(root)
    numbers = range(len(samples))
    chosen = numbers if most is None else sorted(random.Random(0).sample(numbers, min(most, len(samples))))
    hashes, unreadable = _hashes(samples, images, recorded, chosen)
    return {
        "name": name,
        "samples": len(samples),
        "images_per_sample": dict(sorted(Counter(len(sample.images) for sample in samples).items())),
        "compared": len(hashes),
        "unreadable": unreadable,
        "contexts": _contexts(hashes.values()),
        "near_duplicates": _near_duplicates(samples, hashes),
        "answers": _texts([sample.output for sample in samples]),
        "instructions": _texts([sample.instruction for sample in samples]),
        "synthesis": synthesis,
    }


def _recorded(root: Path) -> tuple[dict[str, Hashes], dict[str, Any] | None]:
    """Return sample id -> the hashes of its images, and what a synthesis wrote down of all samples (else None)."""
    if not ((root / SAMPLES).is_file() and (root / MANIFEST).is_file()):
        return {}, None
    hashes: dict[str, Hashes] = {}
    variety = Variety()
    with reading_finished(root) as manifest:
        for sample in read_lines(root / SAMPLES):
            variety.add(sample)
            hashes[str(sample["id"])] = tuple(f"{int(image['hash'], 16):016x}" for image in sample["pictures"])
        made_by = {str(job): str(backend) for job, backend in manifest["run"]["backends"].items()}
        return hashes, {"version": str(manifest["run"]["version"]), "backends": made_by, **variety.as_dict()}


def _hashes(
    samples: Sequence[MultiImageSample], images: ImagesOf, recorded: Mapping[str, Hashes], chosen: Sequence[int]
) -> tuple[dict[int, Hashes], list[str]]:
    """Return number of a sample -> hashes, and a message for each sample whose images cannot be read."""
    hashes: dict[int, Hashes] = {}
    unreadable = []
    for number in tracked(chosen, "samples compared", len(chosen)):
        known = recorded.get(str(samples[number].id), ())
        if len(known) == len(samples[number].images):
            hashes[number] = known
            continue
        try:
            hashes[number] = tuple(image_hash(np.asarray(image)) for image in images(number))
        except SamDataError as error:
            unreadable.append(str(error))
    return hashes, unreadable


def _bits(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def _contexts(hashes: Iterable[Hashes]) -> dict[str, Any]:
    """Return how unlike the images of one sample are, by the two that are most alike."""
    nearest = [min(_bits(*pair) for pair in combinations(found, 2)) for found in hashes if len(found) > 1]
    if not nearest:
        return {"samples": 0, "median_bits": None, "distinct": None, "bits": {}}
    return {
        "samples": len(nearest),
        "median_bits": statistics.median(nearest),
        "distinct": sum(bits >= OTHER_CONTEXT for bits in nearest) / len(nearest),
        "bits": dict(sorted(Counter(nearest).items())),
    }


def _near_duplicates(samples: Sequence[MultiImageSample], hashes: Mapping[int, Hashes]) -> dict[str, Any]:
    """Return samples whose images all nearly are an earlier sample's; samples of as many images are compared."""
    indices: dict[int, DuplicateIndex] = {}
    found = []
    for number, values in hashes.items():
        index = indices.setdefault(len(values), DuplicateIndex())
        earlier, bits = index.nearest(values)
        index.add(number, values)
        if earlier is not None:
            found.append((bits, number, earlier))
    nearest = sorted(found)[:_NEAREST_SHOWN]
    return {
        "samples": sum(bits < NEAR for bits, _, _ in found),
        "nearest": [
            {"bits": bits, "id": str(samples[number].id), "like": str(samples[earlier].id)}
            for bits, number, earlier in nearest
        ],
    }


def _texts(texts: Sequence[str]) -> dict[str, Any]:
    words = [_WORD.findall(text.lower()) for text in texts]
    flat = [word for text in words for word in text]
    pairs = Counter(pair for text in words for pair in pairwise(text))
    windows = [flat[start : start + _WINDOW] for start in range(0, len(flat) - _WINDOW + 1, _WINDOW)]
    ratios = [len(set(window)) / _WINDOW for window in windows]
    counts = Counter(texts)
    return {
        "different": len(counts),
        "words": len(flat),
        "different_words": len(set(flat)),
        "different_pairs_of_words": len(pairs),
        "type_token_ratio": statistics.fmean(ratios) if ratios else None,
        "median_words": statistics.median(map(len, words)),
        "most_common": dict(counts.most_common(_COMMON_SHOWN)),
    }
