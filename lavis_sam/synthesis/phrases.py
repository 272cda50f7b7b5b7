"""Phrasings from data files: one file a form, `assets/phrases/<form>.yaml`, each entry with several ways to say it."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.seeds import pick

# Objects that have no singular, or that are counted in pairs and heaps.
_PLURALS = (
    "cherries", "glasses", "grapes", "fries", "pancakes", "socks", "jeans", "trousers", "shorts", "overalls",
    "sneakers", "shoes", "boots", "sandals",
)  # fmt: skip
FOLDER = Path(__file__).parents[1] / "assets" / "phrases"


@dataclass(frozen=True)
class Phrases:
    """The phrasings of one form.

    `$name` stands for a fact; `{image#1}` and other braces are left as they are.

    Attributes:
        entries: Key -> purpose ("instruction", "answer", …) -> phrasings.
    """

    name: str
    entries: Mapping[str, Mapping[str, tuple[str, ...]]]

    @staticmethod
    @functools.cache
    def load(name: str) -> "Phrases":
        """Read a form's file."""
        from omegaconf import OmegaConf

        loaded = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
        if not isinstance(loaded, dict):
            raise SamConfigurationError(f"{FOLDER / name}.yaml: found a list, wanted a mapping.")
        return Phrases(
            name,
            {
                str(key): {purpose: tuple(map(str, phrasings)) for purpose, phrasings in entry.items()}
                for key, entry in loaded.items()
            },
        )

    def pick(self, rng: np.random.Generator, key: str, purpose: str, facts: Mapping[str, str]) -> str:
        """Return one phrasing, with the facts filled in."""
        return self.fill(pick(rng, self.entries[key][purpose]), facts)

    def all(self, key: str, purpose: str, facts: Mapping[str, str]) -> tuple[str, ...]:
        """Return every phrasing, with the facts filled in."""
        return tuple(self.fill(phrasing, facts) for phrasing in self.entries[key][purpose])

    @staticmethod
    def fill(phrasing: str, facts: Mapping[str, str]) -> str:
        """Return a phrasing with `$name` replaced.

        Raises:
            KeyError: A fact is missing.
        """
        return Template(phrasing).substitute(facts)


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter and ends with a full stop."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def with_article(phrase: str) -> str:
    """Return "an acorn" for "acorn"; a phrase that begins with an article or a number stays as it is."""
    first = phrase.split(" ", 1)[0].lower()
    if first in ("a", "an", "the", "some", "two", "three"):
        return phrase
    # By sound, not by letter.
    vowel = first[:1] in "aeiou" and not first.startswith(("uni", "use", "eu", "one", "ukulele"))
    return ("an " if vowel or first.startswith(("hour", "honest", "heir")) else "a ") + phrase


def indefinite(phrase: str) -> str:
    """Return one thing with its article, several as they are: "an acorn", "grapes", "a woman in jeans"."""
    head = re.split(r" (?:in|with|of|wearing) ", phrase, maxsplit=1)[0]
    return phrase if head.endswith(_PLURALS) else with_article(phrase)


def listed(phrases: list[str]) -> str:
    """Return "a", "a and b" or "a, b and c"; of at least one phrase."""
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
