"""VIST: five photographs and the five sentences that a person wrote to them; the last sentence is the answer.

`{train,val,test}.story-in-sequence.json` holds `annotations`, one-element lists of a dictionary with `story_id`,
`photo_flickr_id`, `worker_arranged_photo_order` (0 to 4), `text` (tokenised) and `original_text` (natural, used here).
In `…description-in-isolation.json` stories have no id: they are runs of `photo_order_in_story` 0 to 4. Many photographs
have gone since, and some files are no images: a story with fewer than five is dropped.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lavis_sam.datasets.formats.fields import RecordError, identity, items, mapping, number, text
from lavis_sam.datasets.formats.release import SPLITS, Entry, Release, story_context
from lavis_sam.datasets.records import read_document

_LENGTH = 5
_ORDER_IN_SEQUENCE, _ORDER_IN_ISOLATION = "worker_arranged_photo_order", "photo_order_in_story"

# Place and fields of each photograph of a story, in the order of the file.
Story = list[tuple[str, Mapping[str, Any]]]


def entries(release: Release) -> Iterator[Entry]:
    """Yield the stories of a release."""
    for split, path in release.files({split: f"{split}.story-in-sequence.json" for split in SPLITS}):
        stories: dict[str, Story] = {}
        isolated: list[Story] = []
        for place, photograph in _photographs(release, path):
            if "story_id" in photograph:
                with release.reporting(place):
                    stories.setdefault(identity(photograph, "story_id"), []).append((place, photograph))
            else:
                _continue_run(release, isolated, place, photograph)
        named = list(stories.items()) + [(_name_of_run(story), story) for story in isolated]
        for name, story in named:
            place = f"{path} (story {name})"
            with release.reporting(place):
                yield _entry(release, name, story, split, place)


def _photographs(release: Release, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    document = read_document(path)
    with release.reporting(str(path)):
        for index, annotation in enumerate(items(mapping(document, "document"), "annotations")):
            place = f"{path} annotations[{index}]"
            with release.reporting(place):
                # Each is a list of one; a plain dictionary is as clear.
                inner = annotation[0] if isinstance(annotation, list) and len(annotation) == 1 else annotation
                yield place, mapping(inner, "annotation")


def _continue_run(release: Release, runs: list[Story], place: str, photograph: Mapping[str, Any]) -> None:
    with release.reporting(place):
        order = number(photograph, _ORDER_IN_ISOLATION)
        if order == 0 or not runs:
            runs.append([])
        runs[-1].append((place, photograph))


def _name_of_run(story: Story) -> str:
    album = story[0][1].get("album_id")
    return f"{album if isinstance(album, int | str) else 'album'}-{story[0][0].rpartition('[')[2].rstrip(']')}"


def _entry(release: Release, name: str, story: Story, split: str | None, place: str) -> Entry:
    key = _ORDER_IN_SEQUENCE if "story_id" in story[0][1] else _ORDER_IN_ISOLATION
    ordered = sorted((photograph for _, photograph in story), key=lambda photograph: number(photograph, key))
    orders = [number(photograph, key) for photograph in ordered]
    if orders != list(range(_LENGTH)):
        raise RecordError(("incomplete story", f"{key}: found {orders}, wanted 0 to {_LENGTH - 1}, each once"))
    sentences = [text(photograph, "original_text") for photograph in ordered]
    photographs = [identity(photograph, "photo_flickr_id") for photograph in ordered]
    images = release.image_names.find(*[_names(photograph, split) for photograph in photographs])
    return Entry(name, images, (sentences[-1],), place, story_context(sentences[:-1]), split)


def _names(photograph: str, split: str | None) -> list[str]:
    return [f"{split}/{photograph}.jpg", f"{photograph}.jpg"] if split else [f"{photograph}.jpg"]
