"""DM800K: newspaper articles; the captions of an article's images tell its story, the last one is the answer.

The data set is handed out by its authors as a document store; this reads an export of its `articles` with one JSON
object a line: `_id`, `headline`, `parsed_section` (a list of `{"type": "paragraph" | "caption", "text", "hash"}`),
`split`. The images are `<hash>.jpg`. A caption that is empty, or whose image is missing or damaged, is left out of
its article.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from lavis_sam.datasets.formats.fields import RecordError, identity, items, mapping, text
from lavis_sam.datasets.formats.release import SPLITS, Entry, Release, split_of_name, story_context

_MOST_IMAGES = 10
# So many articles are in memory at a time: enough images to look at several at once.
_CHUNK = 500


def entries(release: Release) -> Iterator[Entry]:
    """Yield the articles of a release that have at least one captioned image."""
    for split, path in release.files(_file_names(release)):
        articles = release.records(path)
        while chunk := [_captions(release, *article) for article in islice(articles, _CHUNK)]:
            release.check.look_at(image for _, captions, _ in chunk for image, _ in captions)
            for place, captions, record in chunk:
                with release.reporting(place):
                    if record is not None:
                        yield _entry(release, captions, record, split, place)


def _file_names(release: Release) -> dict[str, str]:
    """Return split -> file: an export is one file with a field `split`, or a file for each split."""
    if release.annotations.is_dir() and (release.annotations / "articles.jsonl").is_file():
        return {release.split or "all": "articles.jsonl"}
    return {split: f"{split}.jsonl" for split in SPLITS}


def _captions(release: Release, place: str, record: Any) -> tuple[str, list[tuple[str, str]], Mapping[str, Any] | None]:
    """Return place, (image, caption) of each captioned image that is there, and the article (None: unusable)."""
    captions: list[tuple[str, str]] = []
    with release.reporting(place):
        for section in items(mapping(record), "parsed_section"):
            if mapping(section, "parsed_section").get("type") == "caption":
                written = text(section, "text") if section.get("text") is not None else ""
                if not written:
                    release.repaired("empty caption, left out of its article")
                    continue
                (image,) = release.image_names.find([f"{identity(section, 'hash')}.jpg"])
                captions.append((image, written))
        return place, captions, record
    return place, [], None


def _entry(
    release: Release, captions: Iterable[tuple[str, str]], record: Mapping[str, Any], split: str | None, place: str
) -> Entry:
    whole = []
    for image, written in captions:
        problem = release.check.problem(image)
        if problem is None:
            whole.append((image, written))
        else:
            release.repaired(f"caption whose image has a problem ({problem[0]}), left out")
    if not whole:
        raise RecordError(("no images", "parsed_section: found no caption with a whole image, wanted at least one"))
    if len(whole) > _MOST_IMAGES:
        release.repaired(f"article cut to its first {_MOST_IMAGES} images")
    images = tuple(image for image, _ in whole[:_MOST_IMAGES])
    sentences = [written for _, written in whole[:_MOST_IMAGES]]
    named = record.get("split")
    in_split = split_of_name(named) if isinstance(named, str) else split if split in SPLITS else None
    return Entry(_name(record), images, (sentences[-1],), place, story_context(sentences[:-1]), in_split)


def _name(record: Mapping[str, Any]) -> str:
    """Return `_id`, which an export writes as a text or as `{"$oid": …}`."""
    value = record.get("_id")
    return identity(value, "$oid") if isinstance(value, dict) else identity(record, "_id")
