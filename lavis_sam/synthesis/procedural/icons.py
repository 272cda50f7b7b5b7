"""Icons: Fluent Emoji 3D (MIT), see assets/synthesis/NOTICE.md. Names come from Unicode."""

import functools
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.phrases import Phrases, with_article
from lavis_sam.synthesis.procedural.colours import check_split, is_held_out
from lavis_sam.synthesis.records import Rgba

FOLDER = Path(__file__).parents[2] / "assets" / "synthesis" / "icons"


def icon_names(split: str = "all") -> tuple[str, ...]:
    """List a split's icons ("train", "held_out" or "all"), in alphabetical order; about a fifth is held out.

    Raises:
        SamConfigurationError: An unknown split.
    """
    check_split(split)
    return tuple(
        name for name in sorted(_icons()) if split == "all" or is_held_out("icon", name) == (split == "held_out")
    )


def icon_meaning(name: str) -> str:
    """Return what the object stands for: "good luck".

    Raises:
        SamConfigurationError: An unknown icon.
    """
    return _entry(name)[1]


def icon_phrase(rng: np.random.Generator, name: str) -> str:
    """Return a description: "a chestnut icon symbolizing autumn walks"."""
    facts = {"a_name": with_article(name), "meaning": icon_meaning(name)}
    return Phrases.load("objects").pick(rng, "icons", "description", facts)


@functools.cache
def load_icon(name: str) -> Rgba:
    """Return the icon, [256, 256, 4]; the array cannot be written to.

    Raises:
        SamConfigurationError: An unknown icon.
        SamDataError: Its file is missing or broken.
    """
    path = FOLDER / f"{_entry(name)[0]}.webp"
    try:
        with Image.open(path) as file:
            rgba = np.asarray(file.convert("RGBA")).copy()
    except OSError as error:
        raise SamDataError(f"{path}: cannot be read ({error}); reinstall lavis_sam.") from error
    rgba.flags.writeable = False
    return rgba


def _entry(name: str) -> tuple[str, str]:
    icons = _icons()
    if name not in icons:
        raise SamConfigurationError(unknown_name("icon", name, icons, "icon"))
    return icons[name]


@functools.lru_cache(maxsize=1)
def _icons() -> Mapping[str, tuple[str, str]]:
    """Return name -> code point (the file's stem) and meaning."""
    import yaml  # type: ignore[import-untyped]

    entries = yaml.safe_load((FOLDER / "icons.yaml").read_text("utf-8"))
    return {
        unicodedata.name(chr(int(str(code), 16))).lower(): (str(code), meaning) for code, meaning in entries.items()
    }
