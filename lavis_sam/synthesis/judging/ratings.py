"""The files that rating pages give: read, checked against the data set, and united over raters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamDataError
from lavis_sam.files import read_json

FORMAT = "lavis_sam ratings 1"
# What is rated of a sample; `sample` is good where both are.
ASPECTS = ("images", "text", "sample")
_MOST_BYTES = 64 * 1024**2
_REMEDY = "Wanted the file that a page of `lavis-sam synthesize-rate` gave."


@dataclass(frozen=True)
class Ratings:
    """What one person says.

    Attributes:
        good: Sample id -> aspect -> whether it is good.
    """

    rater: str
    good: Mapping[str, Mapping[str, bool]]


def read_ratings(paths: Iterable[Path], samples: str, known: Collection[str]) -> list[Ratings]:
    """Read the files of several raters.

    Args:
        samples: SHA-256 of the data set's samples.jsonl, as its manifest says.
        known: The ids of its samples.

    Raises:
        SamDataError: A file is damaged or about another data set, or two are of one rater.
    """
    found: dict[str, tuple[Path, Ratings]] = {}
    for path in paths:
        ratings = _read(path, samples, known)
        if ratings.rater in found:
            raise SamDataError(
                f"{path}: found ratings of {ratings.rater!r}, who has some in {found[ratings.rater][0]} too; give one "
                "file a rater."
            )
        found[ratings.rater] = (path, ratings)
    return [ratings for _, ratings in found.values()]


def _read(path: Path, samples: str, known: Collection[str]) -> Ratings:
    record = read_json(path, remedy=_REMEDY, wanted=dict, most_bytes=_MOST_BYTES)
    if record.get("format") != FORMAT:
        raise SamDataError(f"{path}: format: found {str(record.get('format'))[:80]!r}, wanted {FORMAT!r}. {_REMEDY}")
    if record.get("samples") != samples:
        raise SamDataError(
            f"{path}: samples: found ratings of the data set {str(record.get('samples'))[:80]!r}, wanted {samples!r}. "
            "They are of another data set, or it was made again; rate it again."
        )
    rater, entries = record.get("rater"), record.get("ratings")
    if not isinstance(rater, str) or not rater.strip() or not isinstance(entries, list):
        raise SamDataError(f"{path}: wanted a rater's name and a list of ratings. {_REMEDY}")
    good: dict[str, dict[str, bool]] = {}
    for number, entry in enumerate(entries):
        good |= _entry(entry, known, good, f"{path}: ratings[{number}]")
    return Ratings(rater.strip(), good)


def _entry(entry: Any, known: Collection[str], before: Mapping[str, Any], place: str) -> dict[str, dict[str, bool]]:
    values = [entry.get(key) for key in ("id", "images", "text")] if isinstance(entry, dict) else [None] * 3
    sample, images, text = values
    if not isinstance(sample, str) or not isinstance(images, bool) or not isinstance(text, bool):
        raise SamDataError(f"{place}: found {str(entry)[:120]}, wanted an id, and true or false for images and text.")
    if sample not in known:
        raise SamDataError(f"{place}: id: found {sample[:80]!r}, which the data set does not have. {_REMEDY}")
    if sample in before:
        raise SamDataError(f"{place}: id: found {sample!r} a second time, wanted one rating of each sample.")
    return {sample: {"images": images, "text": text, "sample": images and text}}


def united(ratings: Sequence[Ratings], aspect: str) -> tuple[dict[str, bool], int]:
    """Return what most raters say of each sample.

    Returns:
        Sample id -> whether it is good; and the number of samples of which as many raters say one thing as the other.
        Those have no entry.
    """
    votes: dict[str, list[bool]] = {}
    for one in ratings:
        for sample, good in one.good.items():
            votes.setdefault(sample, []).append(good[aspect])
    decided = {sample: 2 * sum(said) > len(said) for sample, said in votes.items() if 2 * sum(said) != len(said)}
    return decided, len(votes) - len(decided)
