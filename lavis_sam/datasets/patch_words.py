"""Which words are true of which patch of an image, from the masks and attributes that a synthesised data set records.

Only its `samples.jsonl` is read; `lavis_sam.models.patch_words` learns from what it says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lavis_sam.datasets.records import read_records
from lavis_sam.errors import SamConfigurationError, SamDataError

SAMPLES = "samples.jsonl"
# A patch belongs to an object that covers more of it than this.
COVERED = 0.3
# Attributes of an object that are no words for how it looks.
_INVISIBLE = ("meaning", "name", "title", "author", "turn", "azimuth", "elevation", "pose name")
_FUNCTION_WORDS = frozenset(("a", "an", "the", "and", "of", "on", "in", "with"))


@dataclass(frozen=True)
class PatchLabels:
    """The words of a data set, and where in each image they are true.

    Attributes:
        words: All words ("upper navy", "kind sofa", "icon duck"), in alphabetical order; those of whole scenes begin
            with "@".
        places: Sample's id -> pairs of patches, bool [G * G], and the words that are true there, int64 [·].
    """

    words: tuple[str, ...]
    places: Mapping[str, tuple[tuple[np.ndarray, np.ndarray], ...]]

    def of_sample(self, sample_id: Any) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Return the places of a sample; "000017-3" is a question about the image of "000017".

        Raises:
            SamDataError: No labels of it.
        """
        name = str(sample_id)
        places = self.places.get(name, self.places.get(name.rpartition("-")[0]))
        if places is None:
            raise SamDataError(f"sample {name!r}: the data that model.inject names has no labels of it.")
        return places


def read_patch_labels(root: Path, grid: int, *, fewest: int = 20) -> PatchLabels:
    """Read the labels of a data set of single images.

    Args:
        root: What `lavis-sam synthesize --config captions` (or a config of that form) made.
        grid: Patches along a side, G.
        fewest: Words that occur less often are left out.

    Raises:
        SamConfigurationError: pycocotools is not installed.
        SamDataError: No such data set, or a damaged one.
    """
    problems: list[Any] = []
    found: dict[str, list[tuple[np.ndarray, frozenset[str]]]] = {}
    try:
        for _, sample in read_records(root / SAMPLES, problems):
            found[str(sample["id"])] = list(_labels(sample, grid))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise SamDataError(
            f"{root / SAMPLES}: a record is damaged ({error!r}); wanted what `lavis-sam synthesize` wrote."
        ) from error
    if problems:
        raise SamDataError(f"{problems[0].place}: {problems[0].message}; wanted what `lavis-sam synthesize` wrote.")
    counts = Counter(word for places in found.values() for _, words in places for word in words)
    words = tuple(sorted(word for word, count in counts.items() if count >= fewest))
    if not words:
        raise SamDataError(f"{root / SAMPLES}: no word occurs {fewest} times; wanted more samples.")
    number = {word: index for index, word in enumerate(words)}
    return PatchLabels(words, {name: tuple(_numbered(places, number)) for name, places in found.items()})


def _numbered(
    places: Iterable[tuple[np.ndarray, frozenset[str]]], number: Mapping[str, int]
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    for patches, words in places:
        known = sorted(number[word] for word in words if word in number)
        if known:
            yield patches, np.array(known, dtype=np.int64)


def _labels(sample: Mapping[str, Any], grid: int) -> Iterable[tuple[np.ndarray, frozenset[str]]]:
    image = sample["pictures"][0]
    for placed in image["objects"]:
        patches = _coverage(placed["mask"], grid) > COVERED
        yield patches.ravel(), frozenset(_words(sample["objects"][placed["object"]], placed["view"]))
    if scene := image["background"]["scene"]:
        yield np.ones(grid * grid, dtype=bool), frozenset((f"@{scene}",))


def _words(obj: Mapping[str, Any], view: int) -> Iterable[str]:
    """Yield each word of each attribute, with the attribute's name: "upper navy" and "upper hoodie" of a navy hoodie.

    So each is met often, where "navy hoodie" is rare, and it is still known what of an object is navy.
    """
    attributes = {**obj["attributes"], **obj["views"][view]["attributes"]}
    if obj["noun"] not in attributes.values():
        attributes["noun"] = obj["noun"]
    garments = obj["kind"] == "characters"  # whose colours are also in their names
    for name, value in attributes.items():
        if name not in _INVISIBLE and not (garments and name.endswith("colour")):
            yield from (f"{name} {word}" for word in str(value).split() if word not in _FUNCTION_WORDS)


def _coverage(mask: Mapping[str, Any], grid: int) -> np.ndarray:
    """Return the share of each patch that a mask covers, float [G, G]."""
    try:
        from pycocotools import mask as coco
    except ImportError as error:
        raise SamConfigurationError(
            "labels of patches need pycocotools; install it with `pip install 'lavis_sam[synthesis]'`."
        ) from error
    size = [int(side) for side in mask["size"]]
    if len(size) != 2 or not all(grid <= side <= 4096 for side in size):
        raise ValueError(f"a mask of the size {size}")
    covered = coco.decode({"size": size, "counts": str(mask["counts"]).encode("ascii")})
    rows, columns = (np.linspace(0, side, grid + 1).astype(int) for side in size)
    sums = np.add.reduceat(np.add.reduceat(covered.astype(np.float64), rows[:-1], axis=0), columns[:-1], axis=1)
    return sums / np.outer(np.diff(rows), np.diff(columns))
