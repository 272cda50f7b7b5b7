"""Tiny backends for the synthesis tests: shapes instead of people, stripes instead of places, no files, no models.

They are named in a configuration as "helpers.synthesis:FakeShapes", so that worker processes find them too.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.records import Actor, Attempt, Background, Draft, ImagePlan, Plan, SoftMask, SourceObject, View
from lavis_sam.synthesis.stages.background import BackgroundStage
from lavis_sam.synthesis.stages.composite import CompositeStage
from lavis_sam.synthesis.stages.segment import SegmentStage

SIDE = 96
COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 200), "yellow": (220, 200, 40)}
SHAPES = ("disc", "box", "ring", "drop")
PLACES = ("meadow", "harbour", "tunnel", "desert")


def shape_mask(shape, side=SIDE, tilt=0.0):
    y, x = np.mgrid[:side, :side].astype(float)
    x, y = (x / side - 0.5) * 2.5 + tilt * (y / side - 0.5), (y / side - 0.5) * 2.5
    masks = {
        "disc": x**2 + y**2 < 1,
        "box": (abs(x) < 0.8) & (abs(y) < 0.9),
        "ring": x**2 + (y / 1.1) ** 2 < 0.8,
        "drop": abs(x) < (1 - y) / 2.2 + 0.05,
    }
    return (masks[shape] & (abs(y) < 1)).astype(np.float32)


class FakeShapes:
    """Coloured shapes on white, as characters or furniture."""

    version, licence = "1", "none"

    def __init__(self, kind="characters", spoil="", every=0):
        """`spoil`: what goes wrong with every n-th object: "raise", "kill", "kill once", "stop"."""
        self.name = f"shapes {kind}"
        self._kind, self._spoil, self._every = kind, spoil, every

    def skipped(self):
        return iter(())

    def draw(self, request):
        number = int(request.rng.integers(1_000_000))
        self._misbehave(number)
        taken = [dict(obj.attributes) for obj in request.unlike]
        while True:
            colour = str(request.rng.choice(sorted(COLOURS)))
            shape = str(request.rng.choice(SHAPES))
            attributes = {"colour": colour, "shape": shape}
            if attributes not in taken:
                break
        views = tuple(self._view(colour, shape, index, request.rng) for index in range(request.views))
        required_words = (colour, shape)
        return SourceObject(
            f"{colour}-{shape}-{number}",
            self._kind,
            self.name,
            self.licence,
            attributes,
            1.0,
            views,
            required_words,
            shape,
            f"{colour} {shape}",
        )

    def _view(self, colour, shape, index, rng):
        alpha = shape_mask(shape, tilt=0.2 * index)
        image = np.full((SIDE, SIDE, 3), 255, np.uint8)
        image[alpha > 0.5] = COLOURS[colour]
        noise = rng.integers(0, 12, image.shape, dtype=np.uint8)
        return View(
            image - noise,
            alpha,
            f"tilt {index}",
            f"{colour}/{shape}/{index}",
            {"pose": ("rolling", "resting")[index % 2]},
        )

    def _misbehave(self, number):
        if not self._every or number % self._every:
            return
        if self._spoil == "raise":
            raise SamDataError(f"object {number} is broken")
        if self._spoil == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


class FakeChanging(FakeShapes):
    """Shapes whose colour can be changed."""

    def changed(self, obj, rng):
        others = [colour for colour in sorted(COLOURS) if colour != obj.attributes["colour"]]
        colour, shape = str(rng.choice(others)), obj.attributes["shape"]
        views = tuple(self._view(colour, shape, index, rng) for index in range(len(obj.views)))
        return replace(
            obj,
            id=f"{colour}-{shape}-changed",
            attributes={"colour": colour, "shape": shape},
            views=views,
            required_words=(colour, shape),
            label=f"{colour} {shape}",
        ), "colour"


class FakeIcons(FakeShapes):
    """Shapes with transparency; each colour and shape is an icon."""

    def __init__(self):
        super().__init__("icons")

    def draw(self, request):
        taken = {obj.attributes["icon"] for obj in request.unlike}
        names = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
        free = [name for name in names if name not in taken]
        if not free:
            raise SamDataError("no icon left")
        name = str(request.rng.choice(free))
        colour, shape = name.split()
        view = self._view(colour, shape, 0, request.rng)
        return SourceObject(
            name, "icons", self.name, self.licence, {"icon": name}, 0.1, (view,) * request.views, (name,), name, name
        )


class FakeCovers(FakeShapes):
    """Stripes with an author."""

    def __init__(self):
        super().__init__("covers")

    def draw(self, request):
        author = f"Author {int(request.rng.integers(50))}"
        genre = str(request.rng.choice(["travel", "history"]))
        views = []
        for _ in range(request.views):
            image = np.repeat(request.rng.integers(0, 256, (12, 8, 3), dtype=np.uint8), 8, 0).repeat(8, 1)
            facts = {"title": "Stripes", "author": author, "genre": genre}
            views.append(View(image, np.ones(image.shape[:2], np.float32), "cover", "cover", facts))
        attributes = {"author": author, "genre": genre}
        return SourceObject(author, "covers", self.name, self.licence, attributes, 0.2, tuple(views), (author, genre))


class FakeSegmenter:
    """Everything that is not nearly white."""

    name, version = "not white", "1"

    def segment(self, images):
        return [SoftMask((image.min(axis=-1) < 225).astype(np.float32)) for image in images]


class ConfidentSegmenter(FakeSegmenter):
    """Has an opinion of its own work, as Segment Anything has."""

    def segment(self, images):
        return [SoftMask(mask.alpha, 0.97) for mask in super().segment(images)]


class FakeScorer:
    """What a CLIP scorer would add."""

    name, version = "similarities", "1"

    def score(self, requests):
        scores = {"semantic.object_similarity": (0.8,), "semantic.background_similarity": (0.3, 0.3)}
        return [scores for _ in requests]


class FakeBackgrounds:
    """One of four places."""

    name, version = "places", "1"

    def write(self, requests):
        found = []
        for request in requests:
            free = [place for place in PLACES if place not in request.avoid] or list(PLACES)
            place = request.scene or str(request.rng.choice(free))
            found.append(Background(f"Standing in a {place}", f"in a {place}", place))
        return found


class FakeInpainter:
    """Noise with a colour of its own; the objects are left alone, or not."""

    name, version = "noise", "1"

    def __init__(self, damage=0):
        self._damage = damage

    def inpaint(self, requests):
        return [self._paint(request) for request in requests]

    def _paint(self, request):
        canvas = request.composite.canvas
        base = request.rng.integers(20, 200, (4, 4, 3))
        size = -(-canvas.shape[0] // 4)
        image = np.repeat(np.repeat(base, size, 0), size, 1)[: canvas.shape[0], : canvas.shape[1]]
        image = image + request.rng.integers(0, 40, canvas.shape)
        image = np.where(request.composite.alpha[..., None] > 0.5, canvas.astype(int) + self._damage, image)
        return np.clip(image, 0, 255).astype(np.uint8)


class FatalInpainter(FakeInpainter):
    """Ends its process over some images, whatever the try."""

    def __init__(self, every):
        super().__init__()
        self._every = every

    def _paint(self, request):
        if int(request.composite.canvas.sum()) % self._every == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._paint(request)


class FakeDescriber:
    """Colour and shape."""

    name, version = "words", "1"

    def describe(self, requests):
        return [f"a {request.object.label}" for request in requests]


def config(**changes):
    """A configuration of the fakes, as `read_config` would give it; thresholds that shapes can meet."""
    here = "helpers.synthesis"
    plain = {
        "form": "pairs",
        "kinds": {"characters": 1, "furniture": 1, "icons": 1, "covers": 1},
        "sources": {
            "characters": {"backend": f"{here}:FakeShapes"},
            "furniture": {"backend": f"{here}:FakeShapes"},
            "icons": {"backend": f"{here}:FakeIcons"},
            "covers": {"backend": f"{here}:FakeCovers"},
        },
        "stages": {
            "segment": {"backend": f"{here}:FakeSegmenter"},
            "background": {"backend": f"{here}:FakeBackgrounds"},
            "inpaint": {"backend": f"{here}:FakeInpainter"},
            "describe": {"backend": f"{here}:FakeDescriber"},
        },
        "pictures": {"size": 128},
        "run": {"part_size": 4, "shard_size": 6, "attempts": 6},
        "quality": {
            "mask.largest": {"min": 0.9},
            "composite.overlap": {"max": 0.1},
            "text.attributes": {"min": 1},
            "duplicates.distance": {"min": 3},
        },
    }
    for key, value in changes.items():
        plain[key] = {**plain[key], **value} if isinstance(plain.get(key), dict) and key != "kinds" else value
    return plain


def folder_digest(root: Path):
    """Every file under a folder with its content's hash."""
    import hashlib

    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def planned(*paired, layout="scene", slot=0):
    """A draft with one fake object; `paired` says for each image which earlier one it is paired with, or None."""
    obj = FakeShapes().draw(SampleRequest(np.random.default_rng(slot), 1))
    images = tuple(ImagePlan(layout, (Actor(0, 0, "main"),), paired_with=other) for other in paired)
    return Draft(Plan(Attempt(0, slot, 0, "characters"), "pairs", (obj,), images))


def laid_out(*paired, layout="scene", slot=0):
    """The same, segmented and composed."""
    draft = planned(*paired, layout=layout, slot=slot)
    for stage in (SegmentStage(FakeSegmenter()), CompositeStage(96, 127)):
        (draft,) = stage([draft])
    return draft


def composed(*paired, layout="scene", slot=0):
    """The same, with places."""
    (draft,) = BackgroundStage(FakeBackgrounds())([laid_out(*paired, layout=layout, slot=slot)])
    return draft
