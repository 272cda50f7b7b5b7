"""Words for what the embedded backends draw. Every phrasing keeps every attribute that `describe_…` names.

Questions and answers around these noun phrases belong to the forms (`assets/phrases/<form>.yaml`); the phrases here are
in `assets/phrases/things.yaml` and `assets/phrases/places.yaml`.
"""

import numpy as np

from lavis_sam.synthesis.phrases import Phrases, listed, with_article
from lavis_sam.synthesis.procedural.characters import CharacterAttributes, Garment
from lavis_sam.synthesis.procedural.covers import Book
from lavis_sam.synthesis.procedural.furniture import FurnitureAttributes
from lavis_sam.synthesis.procedural.icons import icon_meaning

# Things that come in pairs have no article.
_PLURALS = ("jeans", "trousers", "shorts", "overalls", "sneakers", "shoes", "boots", "sandals", "glasses")
_DOING = {
    "walking": "Walking",
    "sitting": "Sitting",
    "waving": "Waving",
    "pointing": "Pointing",
    "cheering": "Cheering",
}


def character_phrase(rng: np.random.Generator, attributes: CharacterAttributes) -> str:
    """ "a young woman wearing a blue jumpsuit and white sandals"."""
    hair = attributes.hair
    if attributes.beard:
        hair = f"{hair} and a beard"
    facts = {
        "a_person": with_article(attributes.person),
        "clothes": clothes_phrase(attributes.clothes),
        "hair": hair,
    }
    return Phrases.load("things").pick(rng, "characters", "description", facts)


def clothes_phrase(clothes: tuple[Garment, ...]) -> str:
    """ "a red sweater, blue jeans and black boots"."""
    return listed([garment_phrase(garment) for garment in clothes])


def garment_phrase(garment: Garment) -> str:
    """ "a striped blue dress", "black boots"."""
    return garment.words if garment.kind.endswith(_PLURALS) else with_article(garment.words)


def furniture_phrase(rng: np.random.Generator, attributes: FurnitureAttributes) -> str:
    """ "a blue fabric sofa with two red cushions"."""
    facts = {"name": attributes.name, "a_name": with_article(attributes.name), "parts": attributes.parts}
    return Phrases.load("things").pick(
        rng, "furniture_parts" if attributes.parts else "furniture", "description", facts
    )


def icon_phrase(rng: np.random.Generator, name: str) -> str:
    """ "a chestnut icon symbolizing autumn walks"."""
    facts = {"a_name": with_article(name), "meaning": icon_meaning(name)}
    return Phrases.load("things").pick(rng, "icons", "description", facts)


def book_phrase(rng: np.random.Generator, book: Book) -> str:
    """'the mystery book "The Silent Harbour" by Anna Bexley'."""
    facts = {**book.words()}
    return Phrases.load("things").pick(rng, "covers", "description", facts)


def place_phrase(rng: np.random.Generator, scene: str) -> str:
    """ "on a sunny forest path"."""
    return Phrases.load("places").pick(rng, scene, "place", {})


def background_phrase(rng: np.random.Generator, place: str, pose: str = "") -> str:
    """What an inpainting model is asked for: "Walking on a sunny forest path".

    Args:
        rng: Decides the phrasing.
        place: Such as `place_phrase` gives.
        pose: What the main person does; "" where there is nobody.
    """
    facts = {"place": place, "Place": place[:1].upper() + place[1:], "Doing": _DOING.get(pose, "Standing")}
    return Phrases.load("places").pick(rng, "background", "person" if pose else "still", facts)
