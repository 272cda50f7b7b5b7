"""AESOP: three clip-art panels and three texts; the last text is the answer.

`{train,test}.json` is a list with `storyid`, `text` and `image_path` ("./data/images/<id>/panel_0.png"); a story's own
`stories/<id>/meta.json` has `story` in the place of `text`, and its folder is its id. The renderer writes .jpg, and the
archive's folder is `previews/image_renderings/<id>/`: panels are found by story and number, wherever they are.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lavis_sam.datasets.formats.fields import RecordError, identity, mapping, texts
from lavis_sam.datasets.formats.release import Entry, Release, split_of_name, story_context
from lavis_sam.datasets.records import UnreadableFileError, read_document

_PANELS = 3


def entries(release: Release) -> Iterator[Entry]:
    """Yield the stories of a release."""
    for split, place, record in _records(release):
        with release.reporting(place):
            yield _entry(release, mapping(record), split, place)


def _records(release: Release) -> Iterator[tuple[str | None, str, Any]]:
    """Yield split, place and record of each story: from the two lists or, where there are none, from each meta.json."""
    try:
        files = list(release.files({"train": "train.json", "test": "test.json"}))
    except UnreadableFileError:
        files = [(None, path) for path in sorted(release.annotations.glob("**/meta.json"))]
        if not files:
            raise
    for split, path in files:
        if path.name == "meta.json":
            yield from _story(release, path)
        else:
            yield from ((split, place, record) for place, record in release.records(path))


def _story(release: Release, path: Path) -> Iterator[tuple[str | None, str, Any]]:
    try:
        record = read_document(path)
    except UnreadableFileError as error:
        release.problem(error.problem.kind, str(path), error.problem.message)
        return
    named = record.get("split") if isinstance(record, dict) else None
    if isinstance(record, dict):
        record.setdefault("storyid", path.parent.name)
    yield split_of_name(named) if isinstance(named, str) else None, str(path), record


def _entry(release: Release, record: Mapping[str, Any], split: str | None, place: str) -> Entry:
    name = identity(record, "storyid")
    captions = texts(record, "text" if "text" in record else "story")
    if len(captions) != _PANELS:
        raise RecordError(("incomplete story", f"text: found {len(captions)} texts, wanted {_PANELS}"))
    named = texts(record, "image_path") if "image_path" in record else [f"{name}/panel_{k}.png" for k in range(_PANELS)]
    if len(named) != _PANELS:
        raise RecordError(("incomplete story", f"image_path: found {len(named)} panels, wanted {_PANELS}"))
    # The last two parts, <id>/panel_k, say everything.
    images = release.image_names.find(*[[path, _tail(path)] for path in named])
    return Entry(name, images, (captions[-1],), place, story_context(captions[:-1]), split)


def _tail(path: str) -> str:
    return path if path.startswith("/") else "/".join(path.split("/")[-2:])
