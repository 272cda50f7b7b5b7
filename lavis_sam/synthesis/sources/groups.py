"""A source that is a list of groups on the disk: the images of one object each."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.protocols import SampleRequest, Skipped
from lavis_sam.synthesis.records import Polygon, Rgb, SourceObject, View
from lavis_sam.synthesis.seeds import pick
from lavis_sam.synthesis.sources.files import read_image, read_mask

# Of all groups, the share whose ids belong to the evaluation sets; by hash, so a group never changes sides.
_HELD_OUT = 0.1
# Views closer than this show nearly the same side.
_FAR_APART = 60.0
# Groups looked at when a companion has to differ from what is there.
_DRAWS = 20


@dataclass(frozen=True)
class ViewFile:
    """One image of a group.

    Attributes:
        path: Relative to the source's root.
        description: "front", "azimuth 30".
        azimuth: Degrees around the object, where it is known.
        box: (left, top, right, bottom) around the object in pixels, where it is known.
        points: (x, y) on the object in pixels.
    """

    path: str
    description: str = ""
    azimuth: float | None = None
    mask: str | None = None
    box: tuple[float, float, float, float] | None = None
    points: Polygon = ()


@dataclass(frozen=True)
class Group:
    """One object and its images.

    Attributes:
        label: A few words that tell it from others: "man in denim".
        caption: The source's own text, or "".
        height: Metres; None takes the source's default.
        licence: Its own licence; "" takes the source's.
        filed_under: See `SourceObject`.
    """

    id: str
    views: tuple[ViewFile, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    required_words: tuple[str, ...] = ()
    label: str = ""
    caption: str = ""
    height: float | None = None
    licence: str = ""
    filed_under: bool = False


# Images that a group must have.
_FEWEST_VIEWS = 2


class GroupedSource:
    """Draws objects from a list of groups; images are read when they are drawn."""

    version = "1"

    def __init__(
        self,
        name: str,
        kind: str,
        root: Path,
        groups: Iterable[Group],
        *,
        licence: str,
        height: float,
        split: str = "train",
        skipped: Sequence[Skipped] = (),
    ) -> None:
        """Sort the groups, set aside those with too few images, and keep those of the split.

        Args:
            kind: A key of `kinds.KINDS`.
            root: The folder that paths are relative to.
            groups: In any order.
            height: Metres of an object of which nothing is known.
            split: "train", "held_out" or "all".

        Raises:
            SamConfigurationError: No group can be used.
        """
        self.name, self.licence = name, licence
        self._kind, self._root, self._height = kind, root, height
        everything = sorted(groups, key=lambda group: group.id)
        lonely = [group for group in everything if len(group.views) < _FEWEST_VIEWS]
        self._skipped = [*skipped, *(Skipped(group.id, "too few images") for group in lonely)]
        usable = [group for group in everything if len(group.views) >= _FEWEST_VIEWS]
        self._groups = [group for group in usable if in_split(group.id, split)]
        if not self._groups:
            raise SamConfigurationError(
                f"sources.{kind}: {name} has {len(everything)} groups under {root}, {len(usable)} with at least "
                f"{_FEWEST_VIEWS} images and none of them in the split {split!r}; wanted at least one."
            )

    def __len__(self) -> int:
        """Return the number of usable groups of the split."""
        return len(self._groups)

    def skipped(self) -> Iterator[Skipped]:
        """See `Source.skipped`."""
        return iter(self._skipped)

    def draw(self, request: SampleRequest) -> SourceObject:
        """See `Source.draw`."""
        group = self._choose(request)
        files = choose_views(group.views, request.views, request.rng)
        views = tuple(self._view(file) for file in files)
        return SourceObject(
            id=group.id,
            kind=self._kind,
            source=self.name,
            licence=group.licence or self.licence,
            attributes=dict(group.attributes),
            height=group.height or self._height,
            views=views,
            required_words=group.required_words,
            label=group.label,
            caption=group.caption,
            filed_under=group.filed_under,
        )

    def _choose(self, request: SampleRequest) -> Group:
        if request.position is not None:
            return self._groups[request.position % len(self._groups)]
        taken = {obj.id for obj in request.unlike if obj.source == self.name}
        known = [dict(obj.attributes) for obj in request.unlike if obj.kind == self._kind]
        for _ in range(_DRAWS):
            group = pick(request.rng, self._groups)
            # Without attributes nobody can tell two objects apart by a description, so the id has to do.
            if group.id not in taken and (not group.attributes or dict(group.attributes) not in known):
                return group
        raise SamDataError(f"{self.name}: found no object that differs from {sorted(taken)} in {_DRAWS} draws")

    def _view(self, file: ViewFile) -> View:
        image: Rgb = read_image(self._root, file.path)
        alpha = None if file.mask is None else read_mask(self._root, file.mask, image.shape)
        return View(image, alpha, file.description, file.path, box=file.box, points=file.points)


def is_held_out(identity: str) -> bool:
    """Return whether a group belongs to the evaluation sets; the same on every machine."""
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < _HELD_OUT


def in_split(identity: str, split: str) -> bool:
    """Return whether a group belongs to a split: "train", "held_out" or "all"."""
    return split == "all" or is_held_out(identity) == (split == "held_out")


def choose_views(views: Sequence[ViewFile], count: int, rng: np.random.Generator) -> list[ViewFile]:
    """Return different views, far apart in azimuth where that is known; the same again only when there are too few."""
    order = [views[int(index)] for index in rng.permutation(len(views))]
    chosen: list[ViewFile] = []
    for view in order:
        if all(_angle(view, other) >= _FAR_APART for other in chosen):
            chosen.append(view)
    chosen += [view for view in order if view not in chosen]
    return [chosen[index % len(chosen)] for index in range(count)]


def _angle(first: ViewFile, second: ViewFile) -> float:
    if first.azimuth is None or second.azimuth is None:
        return 180.0
    between = abs(first.azimuth - second.azimuth) % 360
    return min(between, 360 - between)
