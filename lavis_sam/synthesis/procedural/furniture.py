"""Furniture drawn from attributes as solids in true perspective, so that two views show the same piece.

attributes = sample_furniture(rng)
first = draw_furniture(attributes, azimuth=30, elevation=12, size=480)
second = draw_furniture(attributes, azimuth=-40, elevation=12, size=480)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.phrases import Phrases, with_article
from lavis_sam.synthesis.procedural.colours import COLOURS, check_split, choices
from lavis_sam.synthesis.procedural.pieces import PIECES, Look
from lavis_sam.synthesis.procedural.render.arrays import floats
from lavis_sam.synthesis.procedural.render.image import Cutout, render
from lavis_sam.synthesis.procedural.render.paint import Colour
from lavis_sam.synthesis.seeds import pick

WOODS: Mapping[str, Colour] = {
    "oak": (198, 152, 100),
    "walnut": (112, 74, 50),
    "pine": (222, 182, 128),
    "cherry": (152, 78, 50),
}
_PAINTS = ("white", "grey", "black", "red", "blue", "green", "yellow", "teal", "pink", "navy")
_FABRICS = (
    "red", "orange", "yellow", "green", "teal", "blue", "navy", "purple", "pink", "maroon",
    "brown", "beige", "olive", "white", "grey", "black",
)  # fmt: skip
_METALS: Mapping[str, Colour] = {"chrome": (196, 200, 206), "black metal": (52, 54, 60), "brass": (206, 170, 92)}

# Camera distance from the origin, as a factor of the piece's largest size, but no nearer than this many metres.
_DISTANCE, _NEAREST = 3.2, 3.6


@dataclass(frozen=True)
class FurnitureAttributes:
    """A piece of furniture.

    Attributes:
        kind: A key of `pieces.PIECES`: "sofa".
        colour: Its colour or wood: "blue", "oak".
        material: What its large surfaces are: "fabric", "leather", "wood", "painted", "metal".
        parts: What is special about it, in words: "with two cushions"; "" when nothing.
        variant: Index of the piece's form.
        legs: Material of legs and frame: "oak", "chrome".
        accent: Colour of cushions and the like, or "".
        size: Factors of width, height and depth.
    """

    kind: str
    colour: str
    material: str
    parts: str
    variant: int
    legs: str
    accent: str
    size: tuple[float, float, float]

    @property
    def name(self) -> str:
        """ "blue fabric sofa", "oak table"."""
        material = {"wood": "", "painted": "", "metal": "metal"}.get(self.material, self.material)
        return " ".join(word for word in (self.colour, material, self.kind) if word)

    def words(self) -> dict[str, str]:
        """Return everything that a description can say, by name."""
        named = {"name": self.name, "kind": self.kind, "colour": self.colour, "material": self.material}
        if self.parts:
            named["parts"] = self.parts
        return named

    def phrase(self, rng: np.random.Generator) -> str:
        """Return one of several ways to say all of it: "a blue fabric sofa with two red cushions"."""
        facts = {"name": self.name, "a_name": with_article(self.name), "parts": self.parts}
        key = "furniture_parts" if self.parts else "furniture"
        return Phrases.load("objects").pick(rng, key, "description", facts)


def sample_furniture(rng: np.random.Generator, palette: str = "train", kind: str | None = None) -> FurnitureAttributes:
    """Return a piece.

    Args:
        palette: "train", "held_out" or "all": which pairings of piece and colour occur; see `colours.is_held_out`.
        kind: A key of `PIECES`; None for any.

    Raises:
        SamConfigurationError: An unknown palette or kind.
    """
    check_split(palette)
    if kind is not None and kind not in PIECES:
        raise SamConfigurationError(unknown_name("kind of furniture", kind, PIECES, "kind"))
    kind = kind or pick(rng, tuple(PIECES))
    piece = PIECES[kind]
    material = pick(rng, piece.materials)
    colour = pick(rng, choices(kind, _colours_of(material), palette))
    variant = int(rng.integers(len(piece.variants)))
    legs = pick(rng, ("oak", "walnut", "black metal", "chrome")) if material != "wood" else colour
    others = [name for name in ("yellow", "teal", "red", "white", "navy", "pink", "green", "orange") if name != colour]
    accent = pick(rng, others) if piece.accented else ""
    return FurnitureAttributes(
        kind=kind,
        colour=colour,
        material=material,
        parts=piece.variants[variant].replace("a $accent", with_article(accent)).replace("$accent", accent),
        variant=variant,
        legs=legs,
        accent=accent,
        size=tuple(float(np.round(factor, 3)) for factor in rng.uniform(0.94, 1.08, 3)),  # type: ignore[arg-type]
    )


def describe_furniture(attributes: FurnitureAttributes) -> tuple[str, ...]:
    """Return the words that every text about the piece must keep."""
    return (attributes.name, attributes.parts) if attributes.parts else (attributes.name,)


def furniture_height(attributes: FurnitureAttributes) -> float:
    """Return the height in metres."""
    return PIECES[attributes.kind].height * attributes.size[1]


def draw_furniture(attributes: FurnitureAttributes, azimuth: float, elevation: float, size: int) -> Cutout:
    """Draw a piece.

    Args:
        azimuth: Degrees by which it is turned; its front goes to the right of the image.
        elevation: Degrees by which the camera is above the piece's middle.
        size: Pixels of the image's longer side.

    Raises:
        SamConfigurationError: A size below 32 or above 4096, or an elevation outside -5 to 60.
    """
    if not 32 <= size <= 4096:
        raise SamConfigurationError(f"size: found {size}, wanted 32 to 4096 pixels.")
    if not -5 <= elevation <= 60:
        raise SamConfigurationError(f"elevation: found {elevation:g}, wanted -5 to 60 degrees.")
    piece = PIECES[attributes.kind]
    look = Look(
        main=_colour(attributes.colour),
        legs=_colour(attributes.legs),
        accent=_colour(attributes.accent or attributes.colour),
        material=attributes.material,
        wooden_legs=attributes.legs in WOODS,
        variant=attributes.variant,
        size=attributes.size,
        seed=sum(attributes.name.encode()) % 97,
    )
    surfaces, feet = piece.build(look)
    distance = max(_NEAREST, _DISTANCE * piece.width)
    eye = furniture_height(attributes) / 2 + distance * float(np.tan(np.deg2rad(elevation)))
    image = render(surfaces, eye=eye, distance=distance, height=size, width=size, turn=azimuth)
    corners = [
        ((left, 0, back), (right, 0, back), (right, 0, front), (left, 0, front)) for left, right, back, front in feet
    ]
    return image.cutout([image.outline(floats(foot)) for foot in corners])


def _colour(name: str) -> Colour:
    for names in (WOODS, _METALS, COLOURS):
        if name in names:
            return names[name]
    raise SamConfigurationError(unknown_name("colour", name, [*WOODS, *_METALS, *COLOURS], "colour"))


def _colours_of(material: str) -> tuple[str, ...]:
    if material == "wood":
        return tuple(WOODS)
    if material == "leather":
        return ("brown", "black", "white", "red", "beige", "navy", "grey")
    if material == "metal":
        return ("black", "white", "red", "blue", "green", "yellow", "grey")
    return _PAINTS if material == "painted" else _FABRICS
