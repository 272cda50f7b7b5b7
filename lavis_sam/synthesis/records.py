"""The records that travel from stage to stage: frozen, typed, and small enough to print.

Sizes: S is the side of the square canvas (512), H and W those of a source image. Images are uint8 arrays of RGB;
soft masks ("alpha") are float32 arrays in [0, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.seeds import generator

Rgb = npt.NDArray[np.uint8]  # [H, W, 3]
Rgba = npt.NDArray[np.uint8]  # [H, W, 4], colours not multiplied by alpha
Alpha = npt.NDArray[np.float32]  # [H, W]
Mask = npt.NDArray[np.bool_]  # [H, W]

Polygon = tuple[tuple[float, float], ...]  # (x, y) corners in pixels

# Forms of a sample, and how many images it then has.
FORMS = {"pairs": 2, "groups": 5, "stories": 3, "changes": 2, "captions": 1}
# What people do of whom nothing else is known.
DEFAULT_ACTION = "standing"
STAGES = ("plan", "segment", "composite", "background", "inpaint", "describe", "write")


@dataclass(frozen=True)
class Attempt:
    """One try at filling one place of the data set; everything random in it follows from these four values.

    Attributes:
        slot: The place in the data set, from 0.
        number: 0 for the first try; a rejected try is followed by the next number.
        kind: What the sample is about, a key of `kinds.KINDS`.
    """

    seed: int
    slot: int
    number: int
    kind: str

    @property
    def id(self) -> str:
        """The sample's id, the same for every try."""
        return f"{self.slot:06d}"

    @property
    def position(self) -> int | None:
        """The group that a source with a list of them shall take first; None leaves it to chance, after a rejection."""
        return self.slot if self.number == 0 else None

    def rng(self, stage: str, item: int = 0) -> np.random.Generator:
        """Return the generator of one stage and one item (an image, an object) of it."""
        return generator(self.seed, self.slot, self.number, stage, item)


@dataclass(frozen=True)
class View:
    """One image of an object, as a source gives it.

    Attributes:
        image: [H, W, 3] what a camera saw.
        alpha: [H, W] the object's exact or manual mask; None where only segmentation can tell.
        description: The pose, view angle or file name, for the manifest.
        reference: Where it came from: a path relative to the source's root, or a recipe.
        attributes: What is true of this view alone, such as {"pose": "waving"}.
        contacts: Where it touches the ground, as outlines in pixels of the image; empty where nobody knows.
        height: Metres of what is visible, where that differs from the object's (a raised arm, a seated person).
        box: (left, top, right, bottom) around it, in pixels; shown to a segmenter that takes a prompt.
        points: (x, y) on it, in pixels; likewise.
    """

    image: Rgb
    alpha: Alpha | None
    description: str
    reference: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    contacts: tuple[Polygon, ...] = ()
    height: float | None = None
    box: tuple[float, float, float, float] | None = None
    points: Polygon = ()


@dataclass(frozen=True)
class SourceObject:
    """One object that a sample can be about, with as many views as were asked for.

    Attributes:
        id: Unique within its source: "id_00000080-01", "procedural:9f3c…".
        kind: A key of `kinds.KINDS`.
        attributes: What is true of it in every view: {"top colour": "blue"}.
        required_words: The words of it that a right description mentions.
        noun: What it is, in a word: "woman"; "" when unknown.
        label: A few words that tell it from others, without an article: "woman in the blue jumpsuit"; "" when unknown.
        caption: The source's own text, or "".
        height: Real height in metres; companions and rooms are scaled by it.
        recipe: What its source needs to draw it again, in a form that JSON can say; None for photographs.
        filed_under: Whether the words are names of shelves ("a blouse or shirt"), which a true caption has no need of.
    """

    id: str
    kind: str
    source: str
    licence: str
    attributes: Mapping[str, str]
    height: float
    views: tuple[View, ...]
    required_words: tuple[str, ...] = ()
    noun: str = ""
    label: str = ""
    caption: str = ""
    recipe: Any = None
    filed_under: bool = False


@dataclass(frozen=True)
class Actor:
    """An object's appearance in one image.

    Attributes:
        object: Index into `Plan.objects`.
        view: Index into that object's views.
        role: "main" for what the sample is about, "companion" for what is there besides.
        name: The name that a story gives it, or "".
        place_of: In the second image of a before/after pair: the index of the object whose place and size it has
            (its own, where it stays); None gives it a new place.
    """

    object: int
    view: int
    role: str
    name: str = ""
    place_of: int | None = None


@dataclass(frozen=True)
class ImagePlan:
    """What one image of a sample shows.

    Attributes:
        layout: "scene" (objects standing in a place), "grid" (icons on white) or "flat" (one image as it is).
        paired_with: The earlier image whose place, camera and layout this one shares (before/after), or None.
        scene: The scene asked for, by name; "" leaves the choice to the background writer.
    """

    layout: str
    actors: tuple[Actor, ...]
    paired_with: int | None = None
    scene: str = ""


@dataclass(frozen=True)
class Plan:
    """What a sample will show and say; made by a form (`forms/`), before anything is drawn.

    Attributes:
        form: A key of `FORMS`.
        images: Its images in order.
        facts: What the text has to say beyond the objects' attributes: {"change": "removed", …}.
    """

    attempt: Attempt
    form: str
    objects: tuple[SourceObject, ...]
    images: tuple[ImagePlan, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SoftMask:
    """What a segmenter says of one image.

    Attributes:
        alpha: [H, W] probability of belonging to the object.
        predicted_iou: The segmenter's own estimate of its quality, where it has one (Segment Anything).
    """

    alpha: Alpha
    predicted_iou: float | None = None


@dataclass(frozen=True)
class Segment:
    """An object cut out of its source image.

    Attributes:
        rgba: [h, w, 4] cropped to what is visible of it.
        contacts: Where it touches the ground, as outlines in pixels of `rgba`.
    """

    rgba: Rgba
    contacts: tuple[Polygon, ...] = ()


@dataclass(frozen=True)
class Layer:
    """An object on the canvas.

    Attributes:
        rgba: [h, w, 4] the object at its final size; the box is its place.
        box: (left, top, width, height) in canvas pixels; may reach over the edge.
        alpha: [S, S] its own soft mask on the canvas, occluded parts included.
        contacts: Where it touches the ground, as outlines in canvas pixels.
    """

    actor: Actor
    rgba: Rgba
    box: tuple[int, int, int, int]
    alpha: Alpha
    contacts: tuple[Polygon, ...] = ()


@dataclass(frozen=True)
class Composite:
    """The objects of one image on an empty canvas: the paper's mask image.

    Attributes:
        colour: [S, S, 3] the objects' colours, not multiplied by alpha.
        alpha: [S, S] all objects together.
        canvas: [S, S, 3] the objects over the fill colour.
        layers: Back to front.
        horizon: Height of the horizon as a share of S from the top; what the objects' sizes were made for.
        camera_height: Metres; with the horizon it fixes the scale of the ground.
    """

    colour: Rgb
    alpha: Alpha
    canvas: Rgb
    layers: tuple[Layer, ...]
    horizon: float
    camera_height: float


@dataclass(frozen=True)
class Background:
    """A place in words.

    Attributes:
        text: "Walking on a street": what an inpainting model is asked for.
        place: Where that is, to end a sentence with: "on a street"; "" where nobody says.
        scene: The name of a known scene; "" where the text is all there is.
    """

    text: str
    place: str
    scene: str


@dataclass(frozen=True)
class Draft:
    """A sample on its way; each stage fills its own fields and leaves the others.

    Attributes:
        segments: (object, view) -> the object cut out.
        backgrounds: One an image; text and scene are "" where the image has none.
        references: All right answers, `output` first; empty when there is only one.
        scores: Every measurement so far: name -> values, one a view, image or object.
        hashes: Perceptual hashes of the images, hexadecimal.
    """

    plan: Plan
    segments: Mapping[tuple[int, int], Segment] = field(default_factory=dict)
    composites: tuple[Composite, ...] = ()
    backgrounds: tuple[Background, ...] = ()
    images: tuple[Rgb, ...] = ()
    descriptions: tuple[str, ...] = ()
    instruction: str = ""
    output: str = ""
    references: tuple[str, ...] = ()
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejection:
    """Why a try did not become a sample.

    Attributes:
        stage: The stage that gave up, one of `STAGES`, or "worker" for a try that two workers died over.
        reason: The score that crossed its threshold ("mask.area"), or the class of the error ("SamDataError").
        value: The score's value; None for an error.
        limit: The threshold, such as "at least 0.02"; for an error its message.
        image: Something to look at: the image or mask that was judged, or None.
    """

    attempt: Attempt
    stage: str
    reason: str
    value: float | None
    limit: str
    image: Rgb | None = None
