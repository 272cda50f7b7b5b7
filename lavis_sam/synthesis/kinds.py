"""What a sample can be about: one table of the kinds of objects; a further kind is one further entry.

Records, configuration, registry, forms and the command ask this table, and nothing else names the kinds but the sources
of their objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_SOURCES = "lavis_sam.synthesis.sources"
_SCENE_QUESTIONS = ("scene", "scene", "place", "attribute", "side", "presence")


@dataclass(frozen=True)
class Kind:
    """One kind of objects.

    Attributes:
        layout: "scene" (cut out of source images and put on the ground of a place), "grid" (on white, beside others of
            the kind) or "flat" (one image as it is).
        sources: Name in the configuration -> "module:factory"; a factory's arguments are the source's options.
        questions: What can be asked about one image (`forms/captions.py`), some more often than others.
        phrases: The entry of `assets/phrases/pairs.yaml` and `groups.yaml` that asks for what images share.
        weight: How often it is drawn where the configuration names no weights.
        height: Metres of an object of which nothing is known.
        has_poses: Whether its objects do something ("waving"), and may be a story's characters.
        unnamed: What an object is called of which nothing is known; "" where it then cannot be described.
        suffix: What a label needs for a whole noun ("acorn icon").
    """

    layout: str
    sources: Mapping[str, str]
    questions: tuple[str, ...]
    phrases: str
    weight: float = field(default=1.0, kw_only=True)
    height: float = field(default=1.0, kw_only=True)
    has_poses: bool = field(default=False, kw_only=True)
    unnamed: str = field(default="", kw_only=True)
    suffix: str = field(default="", kw_only=True)


KINDS: dict[str, Kind] = {
    "characters": Kind(
        "scene",
        {
            "procedural": f"{_SOURCES}.embedded:ProceduralCharacters",
            "deepfashion_in_shop": f"{_SOURCES}.deepfashion:in_shop",
            "deepfashion_multimodal": f"{_SOURCES}.deepfashion:multimodal",
            "folder": f"{_SOURCES}.folders:folder",
        },
        ("scene", "scene", "place", "attribute", "action", "side", "presence"),
        "characters",
        height=1.7,
        has_poses=True,
    ),
    "furniture": Kind(
        "scene",
        {
            "procedural": f"{_SOURCES}.embedded:ProceduralFurniture",
            "abo_spins": f"{_SOURCES}.abo:abo_spins",
            "folder": f"{_SOURCES}.folders:folder",
        },
        _SCENE_QUESTIONS,
        "furniture",
        height=0.9,
    ),
    "icons": Kind(
        "grid",
        {"embedded": f"{_SOURCES}.embedded:EmbeddedIcons", "folder": f"{_SOURCES}.folders:IconFolder"},
        ("list", "count", "presence"),
        "icons",
        height=0.1,
        suffix=" icon",
    ),
    "covers": Kind(
        "flat",
        {"drawn": f"{_SOURCES}.embedded:DrawnCovers", "book_list": f"{_SOURCES}.books:BookSource"},
        ("genre", "author", "cover"),
        # Followed by what the books have in common: covers_author, covers_genre, covers_author_genre.
        "covers",
        height=0.24,
        unnamed="a book",
    ),
}


def scene_kinds() -> list[str]:
    """Return the kinds whose objects stand in a place."""
    return [name for name, kind in KINDS.items() if kind.layout == "scene"]
