"""People drawn from attributes: who they are and what they wear decides the image, but for the pose and the turn.

    attributes = sample_character(rng)
    first = draw_character(attributes, "waving", 480)
    second = draw_character(attributes, "walking", 480, turn=40)

Both cut-outs show the same person, and `describe_character` gives the words that are true of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.phrases import Phrases, indefinite, listed, with_article
from lavis_sam.synthesis.procedural.colours import COLOURS, check_split, choices
from lavis_sam.synthesis.procedural.figure.extras import ACCESSORIES, HATS, stool
from lavis_sam.synthesis.procedural.figure.fabric import PATTERNS, Fabric
from lavis_sam.synthesis.procedural.figure.hair import hair_surfaces
from lavis_sam.synthesis.procedural.figure.head import Face, Head, head_surfaces
from lavis_sam.synthesis.procedural.figure.limbs import SKIN_GLOSS, bare_arm, bare_leg, foot_axes, hand
from lavis_sam.synthesis.procedural.figure.lower import LOWER, WHOLE
from lavis_sam.synthesis.procedural.figure.shoes import FOOTWEAR
from lavis_sam.synthesis.procedural.figure.skeleton import BUILDS, FIGURES, POSES, Skeleton, build_of, skeleton_of
from lavis_sam.synthesis.procedural.figure.trunk import Trunk
from lavis_sam.synthesis.procedural.figure.upper import UPPER
from lavis_sam.synthesis.procedural.render.arrays import floats
from lavis_sam.synthesis.procedural.render.image import Cutout, RenderedImage, render
from lavis_sam.synthesis.procedural.render.paint import Colour, mixed, plain
from lavis_sam.synthesis.procedural.render.surfaces import Surface
from lavis_sam.synthesis.records import Polygon
from lavis_sam.synthesis.seeds import pick

SKINS: Mapping[str, Colour] = {
    "light": (240, 198, 170),
    "tan": (218, 168, 128),
    "brown": (164, 110, 78),
    "dark": (108, 72, 54),
}
HAIR_COLOURS: Mapping[str, Colour] = {
    "black": (40, 34, 34),
    "brown": (102, 66, 42),
    "blond": (226, 188, 112),
    "red": (172, 74, 36),
    "grey": (168, 168, 170),
}
_EYES: tuple[Colour, ...] = ((84, 56, 38), (70, 110, 150), (84, 120, 80), (60, 42, 32))
_HAIR_STYLES = {
    "woman": ("long", "wavy", "bobbed", "ponytail", "bun", "curly", "short"),
    "man": ("short", "cropped", "curly", "bald"),
    "girl": ("pigtails", "ponytail", "long", "bobbed", "curly"),
    "boy": ("short", "curly", "cropped"),
}
_UPPER = {
    "woman": ("t-shirt", "shirt", "sweater", "hoodie", "jacket", "tank top"),
    "man": ("t-shirt", "shirt", "polo shirt", "sweater", "hoodie", "jacket"),
    "girl": ("t-shirt", "sweater", "hoodie", "tank top"),
    "boy": ("t-shirt", "polo shirt", "sweater", "hoodie"),
}
_LOWER = {
    "woman": ("jeans", "trousers", "skirt", "shorts"),
    "man": ("jeans", "trousers", "shorts"),
    "girl": ("skirt", "shorts", "jeans"),
    "boy": ("shorts", "jeans", "trousers"),
}
_WHOLE = {
    "woman": ("dress", "sundress", "jumpsuit", "overalls"),
    "girl": ("dress", "sundress", "overalls"),
    "man": ("overalls", "jumpsuit"),
    "boy": ("overalls",),
}
_WHOLE_SHARE = {"woman": 0.40, "girl": 0.45, "man": 0.10, "boy": 0.15}
_ACCESSORIES = ("cap", "knitted hat", "sun hat", "glasses", "scarf", "backpack")
_DENIM: Mapping[str, Colour] = {"blue": (72, 104, 160), "black": (52, 54, 62), "grey": (132, 138, 148)}
_PATTERNED = ("t-shirt", "shirt", "sweater", "tank top", "dress", "sundress", "skirt", "polo shirt")
_FOOTWEAR_COLOURS = ("white", "black", "brown", "red", "blue", "beige", "yellow")

_EYE_SHARE, _DISTANCE = 0.74, 4.6


@dataclass(frozen=True)
class Garment:
    """A piece of clothing.

    Attributes:
        kind: "dress".
        colour: "blue".
        pattern: One of `PATTERNS`.
    """

    kind: str
    colour: str
    pattern: str = "plain"

    @property
    def words(self) -> str:
        """ "striped blue dress"."""
        return " ".join(word for word in (self.pattern.replace("plain", ""), self.colour, self.kind) if word)

    @property
    def phrase(self) -> str:
        """ "a striped blue dress", "black boots"."""
        return indefinite(self.words)


@dataclass(frozen=True)
class CharacterAttributes:
    """A person, but for pose and view.

    Attributes:
        kind: "woman", "man", "girl" or "boy".
        age: "young", "" (middle) or "elderly"; "" for children.
        figure: "slim", "average" or "sturdy".
        tallness: Factor of the height.
        skin: A key of `SKINS`.
        eyes: Index of an eye colour.
        hair_style: "long".
        hair_colour: A key of `HAIR_COLOURS`.
        beard: Whether there is one.
        upper: Worn above the waist; None with `whole`.
        lower: Worn below the waist; None with `whole`.
        whole: A dress or the like; None with the other two.
        accessory: A hat, a scarf, …, or None.
    """

    kind: str
    age: str
    figure: str
    tallness: float
    skin: str
    eyes: int
    hair_style: str
    hair_colour: str
    beard: bool
    upper: Garment | None
    lower: Garment | None
    whole: Garment | None
    shoes: Garment
    accessory: Garment | None

    @property
    def person(self) -> str:
        """ "young woman"."""
        return f"{self.age} {self.kind}".strip()

    @property
    def hair(self) -> str:
        """ "long brown hair", or "a bald head"."""
        if self.hair_style == "bald":
            return "a bald head"
        style = {"ponytail": "a {} ponytail", "pigtails": "{} pigtails", "bun": "a {} bun"}.get(self.hair_style)
        return style.format(self.hair_colour) if style else f"{self.hair_style} {self.hair_colour} hair"

    @property
    def clothes(self) -> tuple[Garment, ...]:
        """What is worn, main pieces first, shoes and accessory last."""
        worn = (self.whole, self.upper, self.lower, self.shoes, self.accessory)
        return tuple(garment for garment in worn if garment is not None)

    def words(self) -> dict[str, str]:
        """Return all that a description can say, by name: {"person": "young woman", "dress": "blue dress", …}."""
        named = {"person": self.person, "hair": self.hair, "skin": self.skin, "shoes": self.shoes.words}
        if self.beard:
            named["beard"] = "beard"
        for name in ("whole", "upper", "lower", "accessory"):
            garment = getattr(self, name)
            if garment is not None:
                named[name] = garment.words
        return named

    def phrase(self, rng: np.random.Generator) -> str:
        """Return one of many ways to say all of it: "a young woman wearing a blue jumpsuit and white sandals"."""
        facts = {
            "a_person": with_article(self.person),
            "clothes": listed([garment.phrase for garment in self.clothes]),
            "hair": f"{self.hair} and a beard" if self.beard else self.hair,
        }
        return Phrases.load("objects").pick(rng, "characters", "description", facts)


def sample_character(rng: np.random.Generator, palette: str = "train") -> CharacterAttributes:
    """Draw somebody's attributes.

    Args:
        palette: "train", "held_out" or "all": which pairings of garment and colour occur; see `colours.is_held_out`.

    Raises:
        SamConfigurationError: An unknown palette.
    """
    check_split(palette)
    kind = pick(rng, ("woman", "man", "woman", "man", "girl", "boy"))
    adult = kind in ("woman", "man")
    age = pick(rng, ("young", "young", "", "elderly")) if adult else ""
    style = pick(rng, _HAIR_STYLES[kind])
    if style == "bald" and age == "young":
        style = "cropped"
    hair_colour = "grey" if age == "elderly" else pick(rng, ("black", "brown", "blond", "red"))
    skin = pick(rng, tuple(SKINS))
    # On dark skin, short hair of nearly its colour would not be seen.
    if (skin in ("brown", "dark") and hair_colour in ("blond", "red")) or (skin == "dark" and hair_colour == "brown"):
        hair_colour = "black"
    beard = kind == "man" and bool(rng.random() < (0.55 if style == "bald" else 0.3))
    upper = lower = whole = None
    if rng.random() < _WHOLE_SHARE[kind]:
        whole = sample_garment(rng, pick(rng, _WHOLE[kind]), palette)
    else:
        upper = sample_garment(rng, pick(rng, _UPPER[kind]), palette)
        lower = sample_garment(rng, pick(rng, _LOWER[kind]), palette, unlike=(upper,))
        if upper.pattern != "plain":  # Two patterns at once are hard on the eye.
            lower = replace(lower, pattern="plain")
    warm = (upper or whole) is not None and (upper or whole).kind in ("sweater", "hoodie", "jacket")  # type: ignore[union-attr]
    shoes = sample_garment(rng, pick(rng, ("sneakers", "shoes", "boots") if warm else tuple(FOOTWEAR)), palette)
    accessory = None
    if rng.random() < 0.42:
        fitting = [name for name in _ACCESSORIES if _suits(name, warm, style, (upper or whole).kind)]  # type: ignore[union-attr]
        accessory = sample_garment(rng, pick(rng, fitting), palette, unlike=tuple(filter(None, (upper, whole))))
    return CharacterAttributes(
        kind=kind,
        age=age,
        figure=pick(rng, tuple(FIGURES)),
        tallness=float(np.round(rng.uniform(0.96, 1.04), 3)),
        skin=skin,
        eyes=int(rng.integers(len(_EYES))),
        hair_style=style,
        hair_colour=hair_colour,
        beard=beard,
        upper=upper,
        lower=lower,
        whole=whole,
        shoes=shoes,
        accessory=accessory,
    )


def sample_garment(rng: np.random.Generator, kind: str, palette: str, unlike: Sequence[Garment] = ()) -> Garment:
    """Draw a garment of a kind in one of the palette's colours, not those of `unlike` where there is a choice."""
    colours = choices(kind, colours_of(kind), palette)
    used = {garment.colour for garment in unlike}
    colour = pick(rng, [colour for colour in colours if colour not in used] or colours)
    patterned = kind in _PATTERNED and colour != "white" and rng.random() < 0.35
    return Garment(kind, colour, pick(rng, PATTERNS[1:]) if patterned else "plain")


def colours_of(kind: str) -> tuple[str, ...]:
    """Return the colours that a kind of garment comes in."""
    if kind == "jeans":
        return tuple(_DENIM)
    if kind == "overalls":
        return ("blue", "black", "grey", "green", "red")
    if kind in FOOTWEAR:
        return _FOOTWEAR_COLOURS
    if kind == "glasses":
        return ("black", "brown", "red", "blue")
    return tuple(COLOURS)


def _suits(accessory: str, warm: bool, hair: str, top: str) -> bool:
    if accessory in ("knitted hat", "scarf"):
        return warm and (accessory != "scarf" or top != "hoodie")
    if accessory in HATS:
        return not warm and hair not in ("bun", "curly")
    return accessory != "backpack" or top not in ("hoodie", "jacket", "overalls")


def sample_pose(rng: np.random.Generator, unlike: Sequence[str] = ()) -> tuple[str, float]:
    """Return a pose other than those of `unlike` and a turn that suits it, in degrees."""
    pose = pick(rng, [name for name in POSES if name not in unlike] or list(POSES))
    most = POSES[pose].turn
    least = 25.0 if pose == "walking" else 0.0
    return pose, float(rng.choice((-1, 1)) * rng.uniform(least, most))


def describe_character(attributes: CharacterAttributes) -> tuple[str, ...]:
    """Return the words that every text about the person must keep: who it is, and each piece of clothing."""
    return (attributes.person, *(garment.words for garment in attributes.clothes))


def draw_character(attributes: CharacterAttributes, pose: str, height: int, *, turn: float = 0.0) -> Cutout:
    """Draw somebody.

    Args:
        pose: A key of `POSES`.
        height: Pixels of the image (raised arms count).
        turn: Degrees by which the body is turned to the right of the image.

    Raises:
        SamConfigurationError: An unknown pose, or a height below 32 or above 4096.
    """
    if pose not in POSES:
        raise SamConfigurationError(unknown_name("pose", pose, POSES, "pose"))
    if not 32 <= height <= 4096:
        raise SamConfigurationError(f"height: found {height}, wanted 32 to 4096 pixels.")
    skeleton = skeleton_of(build_of(attributes.kind, attributes.figure, attributes.tallness), POSES[pose])
    eye = attributes.tallness * BUILDS[attributes.kind].height * _EYE_SHARE
    image = render(_surfaces(attributes, skeleton), eye=eye, distance=_DISTANCE, height=height, turn=turn)
    return image.cutout(_contacts(skeleton, image))


def _surfaces(attributes: CharacterAttributes, skeleton: Skeleton) -> list[Surface]:
    trunk, skin_colour = Trunk(skeleton), SKINS[attributes.skin]
    skin = plain(skin_colour)
    head = Head(skeleton, _face(attributes, skin_colour))
    hat = attributes.accessory is not None and attributes.accessory.kind in HATS
    surfaces = [
        *head_surfaces(head, skin),
        *hair_surfaces(attributes.hair_style, HAIR_COLOURS[attributes.hair_colour], head, under_hat=hat),
        Surface(trunk.shape(0.45, 1.12), skin, SKIN_GLOSS),
    ]
    covered = {garment.kind for garment in attributes.clothes}
    for side in (-1, 1):
        surfaces += [bare_arm(skeleton, side, skin), *hand(skeleton, side, skin)]
        if not covered & {"trousers", "jeans", "jumpsuit", "overalls"}:
            surfaces.append(bare_leg(skeleton, side, skin))
        surfaces += FOOTWEAR[attributes.shoes.kind](skeleton, side, COLOURS[attributes.shoes.colour], skin)
    for garment, makers in ((attributes.whole, WHOLE), (attributes.upper, UPPER), (attributes.lower, LOWER)):
        if garment is not None:
            surfaces += makers[garment.kind](skeleton, trunk, _fabric(garment))
    if attributes.accessory is not None:
        surfaces += ACCESSORIES[attributes.accessory.kind](head, trunk, COLOURS[attributes.accessory.colour])
    if skeleton.pose.seat:
        surfaces += stool(skeleton)
    return surfaces


def _fabric(garment: Garment) -> Fabric:
    colour = _DENIM[garment.colour] if garment.kind == "jeans" else COLOURS[garment.colour]
    pale = sum(colour) > 560
    second = mixed(colour, (40, 44, 60), 0.75) if pale else (240, 240, 238)
    return Fabric(colour, garment.pattern, second)


def _face(attributes: CharacterAttributes, skin: Colour) -> Face:
    female, child = attributes.kind in ("woman", "girl"), attributes.kind in ("girl", "boy")
    hair = HAIR_COLOURS[attributes.hair_colour]
    brows = mixed(hair, (60, 44, 36), 0.35 if attributes.age != "elderly" else 0.1)
    return Face(
        skin=skin,
        eyes=_EYES[attributes.eyes],
        brows=brows,
        lips=0.9 if attributes.kind == "woman" else 0.3 if female else 0.1,
        beard=attributes.beard,
        jaw=0.75 if attributes.kind == "man" else 0.45 if child else 0.2,
        age=1.0 if attributes.age == "elderly" else 0.25 if not attributes.age and not child else 0.0,
        childlike=child,
        smile=0.9,
    )


def _contacts(skeleton: Skeleton, image: RenderedImage) -> list[Polygon]:
    """Return outlines of both soles, and of what the legs of a stool stand on."""
    polygons = []
    around = np.linspace(0, 2 * np.pi, 13)[:-1]
    for side in (-1, 1):
        ahead, _, ankle = foot_axes(skeleton, side)
        size = skeleton.build.scale
        flat = floats([ahead[0], 0, ahead[2]])
        across = floats([flat[2], 0, -flat[0]])
        middle = floats([ankle[0], 0, ankle[2]]) + flat * np.float32(0.055 * size)
        outline = [middle + flat * np.cos(t) * 0.13 * size + across * np.sin(t) * 0.046 * size for t in around]
        polygons.append(image.outline(floats(outline)))
    if skeleton.pose.seat:
        half, back = 0.165 * skeleton.build.scale, float(skeleton.at("pelvis")[2]) + 0.03
        corners = [(x * half, 0, back + z * half) for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        polygons.append(image.outline(floats(corners)))
    return polygons
