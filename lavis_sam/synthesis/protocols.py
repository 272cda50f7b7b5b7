"""What a backend has to offer, stage by stage: a batch of records in, a list of the same length out.

A GPU backend (Segment Anything, a diffusion model, a chat model, InstructBLIP, CLIP) implements one of these and is
named in the configuration; nothing else changes. An answer must depend on its own request alone, never on the rest of
the batch: that is what makes a run repeatable whatever the batches and workers. If a batch raises, its requests are
tried one by one, and only those that raise again are rejected. A backend that knows which of its answers failed may
give a `SamDataError` in place of that answer, which saves the others from being asked for again.

Every backend says its `name` and `version`; both go into the manifest. A version changes when answers change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.records import (
    Background,
    Composite,
    ImagePlan,
    Polygon,
    Rgb,
    SoftMask,
    SourceObject,
    View,
)


class Backend(Protocol):
    """What all backends have."""

    name: str
    version: str


@dataclass(frozen=True)
class Skipped:
    """A group that a source offers but nobody can use.

    Attributes:
        reason: A short class, counted in the run's manifest: "one image".
    """

    id: str
    reason: str


@dataclass(frozen=True)
class SampleRequest:
    """A request for an object.

    Attributes:
        position: Preferred group of a source that has a list of them: taken modulo its length, so that a run passes
            through all groups before it repeats one. None draws at random.
        unlike: Objects that it must differ from in what a description says of it.
    """

    rng: np.random.Generator
    views: int
    position: int | None = None
    unlike: tuple[SourceObject, ...] = ()


class Source(Backend, Protocol):
    """Objects of one kind, with their views, licence and whatever is known of them."""

    licence: str

    def draw(self, request: SampleRequest) -> SourceObject:
        """Draw an object with `request.views` different views.

        Raises:
            SamDataError: The group drawn cannot be read or has too few views; another draw may succeed.
        """
        ...

    def skipped(self) -> Iterator[Skipped]:
        """Yield the groups that were set aside when the source was listed."""
        ...


class Changing(Protocol):
    """A source whose objects can be had with one attribute changed (before/after pairs)."""

    def changed(self, obj: SourceObject, rng: np.random.Generator) -> tuple[SourceObject, str]:
        """Return the object in the same views with another value of one attribute, and that attribute's name."""
        ...


class Segmenter(Backend, Protocol):
    """Finds the main object of an image."""

    def segment(self, images: Sequence[Rgb]) -> list[SoftMask]:
        """Return one soft mask [H, W] an image [H, W, 3]."""
        ...


@dataclass(frozen=True)
class SegmentRequest:
    """An image with what its source knows of where the object is.

    Attributes:
        image: [H, W, 3].
        box: (left, top, right, bottom) in pixels, or None.
        points: (x, y) on the object, in pixels.
    """

    image: Rgb
    box: tuple[float, float, float, float] | None = None
    points: Polygon = ()


@runtime_checkable
class PromptedSegmenter(Protocol):
    """What a segmenter may have besides: it can be shown where the object is (Segment Anything)."""

    def segment_prompted(self, requests: Sequence[SegmentRequest]) -> list[SoftMask]:
        """Return one soft mask [H, W] a request."""
        ...


@dataclass(frozen=True)
class BackgroundRequest:
    """Asks for a place.

    Attributes:
        scene: The scene it has to be, or "" for any.
        avoid: Scenes that the sample's other images have; their texts where they have no scenes.
        pose: What the first of the objects does, where it is a person ("walking"); "" otherwise.
        same_scene: The composites of all images of that place; their objects need ground to stand on.
    """

    rng: np.random.Generator
    objects: tuple[SourceObject, ...]
    scene: str = ""
    avoid: tuple[str, ...] = ()
    pose: str = ""
    same_scene: tuple[Composite, ...] = ()


class BackgroundWriter(Backend, Protocol):
    """Thinks of places."""

    def write(self, requests: Sequence[BackgroundRequest]) -> list[Background]:
        """Return one place a request."""
        ...


@dataclass(frozen=True)
class InpaintRequest:
    """Asks for an image with the objects where they are and a place around them.

    Attributes:
        rng: Decides what is left open; paired images get equal ones.
        composite: The objects on the empty canvas.
        same_scene: The composites of all images that show this very place, this one among them. A camera that is chosen
            to suit all of them is the same in all of them.
    """

    rng: np.random.Generator
    composite: Composite
    background: Background
    same_scene: tuple[Composite, ...]


class Inpainter(Backend, Protocol):
    """Paints the place around the objects."""

    def inpaint(self, requests: Sequence[InpaintRequest]) -> Sequence[Rgb | SamDataError]:
        """Return one image [S, S, 3] a request. What it does inside the objects is undone afterwards."""
        ...


@dataclass(frozen=True)
class DescribeRequest:
    """Asks for an object in words.

    Attributes:
        object: The object, with its source images and whatever is known of it.
    """

    rng: np.random.Generator
    object: SourceObject
    views: tuple[View, ...]


class Describer(Backend, Protocol):
    """Describes the main object from its source images or its known attributes.

    One that looks at images sets `sees_images = True`: it is then asked about each view of an object by itself where
    the source has no words for it, and what it says of all views is what answers have to hold.
    """

    def describe(self, requests: Sequence[DescribeRequest]) -> Sequence[str | SamDataError]:
        """Return one noun phrase a request: "a young woman wearing a blue jumpsuit and sandals"."""
        ...


@dataclass(frozen=True)
class RefineRequest:
    """Asks for a smoother answer.

    Attributes:
        required: Words that must survive; an answer that loses one is not used.
    """

    rng: np.random.Generator
    instruction: str
    output: str
    required: tuple[str, ...]


class Refiner(Backend, Protocol):
    """Rewrites answers; returning them unchanged is always right."""

    def refine(self, requests: Sequence[RefineRequest]) -> list[str]:
        """Return one answer a request."""
        ...


@dataclass(frozen=True)
class ScoreRequest:
    """Asks for measurements that need a model."""

    images: tuple[Rgb, ...]
    composites: tuple[Composite, ...]
    plans: tuple[ImagePlan, ...]
    backgrounds: tuple[Background, ...]


class Scorer(Backend, Protocol):
    """Measures finished images (CLIP similarities)."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Mapping[str, tuple[float, ...]]]:
        """Return one mapping a request, from names in `quality.SCORES` to values."""
        ...


def backend_versions(backends: Mapping[str, Any]) -> dict[str, str]:
    """Return what the manifest says of each backend: "u2netp 1"."""
    return {job: f"{backend.name} {backend.version}" for job, backend in sorted(backends.items())}
