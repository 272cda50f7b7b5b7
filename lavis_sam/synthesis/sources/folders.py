"""One's own images: a folder with a manifest, a folder of folders, or a folder of icons."""

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import walk_folder
from lavis_sam.synthesis.kinds import KINDS, scene_kinds
from lavis_sam.synthesis.protocols import SampleRequest, Skipped
from lavis_sam.synthesis.records import Polygon, SourceObject, View
from lavis_sam.synthesis.sources.files import IMAGE_SUFFIXES, existing_folder, lines_of, read_cutout, read_table
from lavis_sam.synthesis.sources.groups import Group, GroupedSource, ViewFile, in_split

_KEYS = ("id", "images", "masks", "boxes", "points", "attributes", "label", "caption", "licence", "height", "azimuths")
# Code points have a digit; "face" and "cafe" are words.
_CODE_POINTS = re.compile(r"(emoji_?u|u\+?)?(?=\w*\d)([0-9a-f]{4,6})([-_][0-9a-f]{4,6})*", re.IGNORECASE)
# What follows a code point without changing what it shows.
_EMOJI_STYLE = "fe0f"
_DRAWS = 20
NAMED_BY = ("files", "captioner")


def folder(
    root: str, kind: str, split: str = "train", manifest: str = "manifest.jsonl", licence: str = "unknown"
) -> GroupedSource:
    """Return images of characters or furniture, grouped by object.

    Args:
        split: "train", "held_out" or "all", by a hash of the group's id.
        manifest: JSON lines (or a JSON list) of {"id", "images": [paths]} with, optionally, "masks": [paths or null],
            "attributes": {name: words} (which answers then have to mention), "label" ("green velvet chair"), "caption",
            "licence", "height" in metres, "azimuths": [degrees], and for a segmenter that takes a prompt "boxes":
            [[left, top, right, bottom] or null] and "points": [[[x, y], …] or null], in pixels. Without it, every
            folder under the root is a group.
        licence: Of images whose group names none.

    Raises:
        SamConfigurationError: The manifest is malformed, or there is nothing to use.
    """
    if kind not in scene_kinds():
        raise SamConfigurationError(unknown_name("kind", kind, scene_kinds(), "sources.*: folder"))
    path = existing_folder(root, f"sources.{kind}.root")
    table = path / manifest
    groups = list(_manifest_groups(table) if table.is_file() else _folder_groups(path))
    return GroupedSource(
        f"folder {path.name}", kind, path, groups, licence=licence, height=KINDS[kind].height, split=split
    )


class IconFolder:
    """Icons with transparency, named by their files: `acorn.png`, or a code point such as `1f330.png`.

    Where files are numbered or hashed, `named_by: captioner` leaves the names to a describer that looks at images.

    Attributes:
        needs_captioner: Whether its icons have no names.
    """

    version = "1"

    def __init__(
        self,
        root: str,
        split: str = "train",
        names: str = "names.json",
        licence: str = "unknown",
        named_by: str = "files",
    ) -> None:
        """List the folder.

        Args:
            split: "train", "held_out" or "all", by a hash of the name, or of the file's where the captioner names it.
            names: Optional table, file name -> name.
            named_by: "files" (and the table), or "captioner".

        Raises:
            SamConfigurationError: Fewer icons than an image needs, or another word for `named_by`.
        """
        if named_by not in NAMED_BY:
            raise SamConfigurationError(unknown_name("value", named_by, NAMED_BY, "sources.icons.named_by"))
        self.needs_captioner = named_by == "captioner"
        self._root = existing_folder(root, "sources.icons.root")
        self.name, self.licence = f"icons {self._root.name}", licence
        table = read_table(self._root / names) if (self._root / names).is_file() else {}
        named: dict[str, str] = {}
        self._skipped: list[Skipped] = []
        for path in sorted(self._root.iterdir()):
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            name = table.get(path.name) if isinstance(table, dict) else None
            name = name if isinstance(name, str) else icon_name(path.stem)
            if self.needs_captioner:
                named[path.name] = path.name
            elif not name:
                self._skipped.append(Skipped(path.name, "no name"))
            elif name in named:
                self._skipped.append(Skipped(path.name, "name used before"))
            else:
                named[name] = path.name
        self._icons = [(name, file) for name, file in sorted(named.items()) if in_split(name, split)]
        if len(self._icons) < 2:
            raise SamConfigurationError(
                f"sources.icons: {len(self._icons)} named icons under {self._root} in the split {split!r}, wanted more."
            )

    def skipped(self) -> Iterator[Skipped]:
        """See `Source.skipped`."""
        return iter(self._skipped)

    def draw(self, request: SampleRequest) -> SourceObject:
        """See `Source.draw`; an icon has one view, as often as wanted."""
        taken = {obj.id for obj in request.unlike}
        for turn in range(_DRAWS):
            fixed = request.position is not None and turn == 0
            place = request.position if fixed else int(request.rng.integers(len(self._icons)))
            name, file = self._icons[(place or 0) % len(self._icons)]
            if name in taken:
                continue
            colour, alpha = read_cutout(self._root, file)
            view = View(colour, alpha, name, file)
            known = "" if self.needs_captioner else name
            return SourceObject(
                name,
                "icons",
                self.name,
                self.licence,
                {"icon": known} if known else {},
                KINDS["icons"].height,
                (view,) * request.views,
                required_words=(known,) if known else (),
                label=known,
            )
        raise SamDataError(f"{self.name}: found no icon besides {sorted(map(str, taken))} in {_DRAWS} draws")


def icon_name(stem: str) -> str:
    """Return the name that a file's stem means: a code point's Unicode name, or the words of the stem.

    "" for a code point without a name, and for a sequence of them: those have names in other tables only.
    """
    match = _CODE_POINTS.fullmatch(stem)
    if match:
        if match[3] and match[3][1:].lower() != _EMOJI_STYLE:
            return ""
        try:
            return unicodedata.name(chr(int(match[2], 16)), "").lower()
        except ValueError:
            return ""
    return " ".join(re.split(r"[\s_-]+", stem)).strip().lower()


def _manifest_groups(path: Path) -> Iterator[Group]:
    records: list[Any]
    if path.suffix == ".jsonl":
        records = []
        for number, line in enumerate(lines_of(path), start=1):
            if line.strip():
                try:
                    records.append(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise SamConfigurationError(f"{path}:{number}: no JSON ({error}).") from error
    else:
        found = read_table(path)
        records = found if isinstance(found, list) else [found]
    seen: set[str] = set()
    for index, record in enumerate(records):
        group = _group(record, f"{path}[{index}]")
        if group.id in seen:
            raise SamConfigurationError(f"{path}[{index}]: id {group.id!r} was used before; ids are unique.")
        seen.add(group.id)
        yield group


def _group(record: Any, place: str) -> Group:
    if not isinstance(record, dict) or not isinstance(record.get("id"), int | str):
        raise SamConfigurationError(f"{place}: wanted an object with id and images, found {str(record)[:80]!r}.")
    for key in record:
        if key not in _KEYS:
            raise SamConfigurationError(unknown_name("key", key, _KEYS, place))
    images = record.get("images")
    if not isinstance(images, list) or not all(isinstance(image, str) and image for image in images):
        raise SamConfigurationError(f"{place}: images: found {str(images)[:80]!r}, wanted a list of paths.")
    masks = _parallel(record, "masks", str, len(images), place)
    azimuths = _parallel(record, "azimuths", int | float, len(images), place)
    boxes = [_box(box, place) for box in _parallel(record, "boxes", list, len(images), place)]
    all_points = [_points(points, place) for points in _parallel(record, "points", list, len(images), place)]
    attributes = record.get("attributes") or {}
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise SamConfigurationError(f"{place}: attributes: found {attributes!r}, wanted name -> words.")
    height = record.get("height")
    if height is not None and (not isinstance(height, int | float) or isinstance(height, bool) or not 0 < height < 100):
        raise SamConfigurationError(f"{place}: height: found {height!r}, wanted metres.")
    views = tuple(
        ViewFile(image, Path(image).stem, None if azimuth is None else float(azimuth), mask, box, points)
        for image, mask, azimuth, box, points in zip(images, masks, azimuths, boxes, all_points, strict=True)
    )
    texts: dict[str, Any] = {key: record.get(key) or "" for key in ("label", "caption", "licence")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise SamConfigurationError(f"{place}: label, caption and licence: found {texts}, wanted texts.")
    return Group(str(record["id"]), views, attributes, tuple(attributes.values()), height=height, **texts)


def _parallel(record: dict[str, Any], key: str, kind: Any, count: int, place: str) -> list[Any]:
    """Return a list that goes along with the images; absent means all None."""
    values = record.get(key)
    if values is None:
        return [None] * count
    if not isinstance(values, list) or len(values) != count:
        raise SamConfigurationError(f"{place}: {key}: wanted a list as long as images ({count}).")
    if not all(value is None or isinstance(value, kind) for value in values):
        raise SamConfigurationError(f"{place}: {key}: found {values!r}, wanted values of one kind, or null.")
    return values


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Return so many finite numbers; None for anything else."""
    is_list = isinstance(values, list) and len(values) == count
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)] if is_list else []
    return tuple(map(float, numbers)) if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _box(values: list[Any] | None, place: str) -> tuple[float, float, float, float] | None:
    if values is None:
        return None
    box = _numbers(values, 4)
    if box is None or box[0] >= box[2] or box[1] >= box[3]:
        raise SamConfigurationError(f"{place}: boxes: found {values!r}, wanted [left, top, right, bottom] in pixels.")
    return box[0], box[1], box[2], box[3]


def _points(values: list[Any] | None, place: str) -> Polygon:
    points = [_numbers(point, 2) for point in values or ()]
    if any(point is None for point in points):
        raise SamConfigurationError(f"{place}: points: found {values!r}, wanted [[x, y], …] in pixels.")
    return tuple((point[0], point[1]) for point in points if point is not None)


def _folder_groups(root: Path) -> Iterator[Group]:
    for path in sorted(Path(folder, name) for folder, below, _ in walk_folder(root) for name in below):
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if files:
            views = tuple(ViewFile(file.relative_to(root).as_posix(), file.stem) for file in files)
            yield Group(path.relative_to(root).as_posix(), views)
