"""Attributes from captions, for objects of which the source knows no words: what captions of all views agree on.

A captioner sees each view by itself. What it says of one view only may be wrong, or true of that view alone (a pose, a
bag that the other side hides); what it says of all counts as true of the object, and an answer has to keep it.
"""

import re
from collections.abc import Sequence

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.quality import mentions

_MOST_WORDS = 60
# Words that say nothing of an object: grammar, the photograph, how somebody stands, opinions of captioners.
_EMPTY_WORDS = (
    "a an the and or of in on at to with without from for by as is are was be being been has have having it"
    " its his her their he she they this that these those there which who whose while very two one both some"
    " other another wearing wears dressed standing stands posing poses walking sitting looking smiling facing"
    " turned turning holding showing shown seen featuring features photo photograph image camera background"
    " front back side view left right top middle center centre studio wall shot close up against near next"
    " model modelling modeling young beautiful nice stylish fashionable elegant attractive"
)
_EMPTY = frozenset(_EMPTY_WORDS.split())
# Where a caption leaves the object and begins with the place.
_PLACE = re.compile(
    r"[,;]?\s+(?:(?:while\s+)?(?:standing|posing|placed|isolated|set|shown|pictured)\s+)?"
    r"(?:against|in front of|on|over|with)\s+(?:a|an|the)\s+(?:\w+\s+){0,3}(?:background|backdrop|wall)\b.*",
    re.IGNORECASE | re.DOTALL,
)
# What captioners say of an icon before and after they say what it shows.
_ICON = (
    r"(?:(?:flat|simple|colou?rful|vector|line|black and white|3d|cartoon)\s+)*"
    r"(?:icons?|emojis?|symbol|logo|pictogram|cartoon|illustration|drawing|clip ?art|graphic|silhouette|sticker)"
)
_OF_ICON = re.compile(
    rf"(?:(?:a|an|the)\s+)?{_ICON}(?:\s+(?:image|style))?\s+(?:of|with|showing|depicting|for)\b", re.IGNORECASE
)
_ICON_AFTER = re.compile(rf"\s+{_ICON}$", re.IGNORECASE)


def caption_of_object(caption: str) -> str:
    """Return a caption in one line, without the place around the object.

    Raises:
        SamDataError: It is empty, endless or not in English letters.
    """
    text = " ".join(_PLACE.sub("", caption.strip()).split()).rstrip(" ,;")
    words = len(text.split())
    if not 0 < words <= _MOST_WORDS:
        raise SamDataError(f"the captioner said {caption[:120]!r}: {words} words, wanted 1 to {_MOST_WORDS}")
    letters = [letter for letter in text if letter.isalpha()]
    if sum(not letter.isascii() for letter in letters) > len(letters) // 20 or not letters:
        raise SamDataError(f"the captioner said {caption[:120]!r}: not in English letters")
    return text


def agreed_attributes(captions: Sequence[str]) -> dict[str, str]:
    """Return what all captions say of the object: last word -> phrase, such as {"dress": "blue dress"}.

    The phrases are in the words and the order of the first caption.

    Args:
        captions: One a view, each of the object alone.

    Raises:
        SamDataError: They agree on nothing.
    """
    first, *others = captions
    found: dict[str, str] = {}
    for run in _runs(first):
        for phrase in _shared(run, others):
            found.setdefault(phrase.split()[-1], phrase)
    if not found:
        raise SamDataError(f"captions of {len(captions)} views agree on nothing: {' | '.join(captions)[:200]!r}")
    return found


def icon_name_of(caption: str) -> str:
    """Return the name that a caption gives an icon: "a flat icon of a red apple with a leaf" -> "red apple".

    Raises:
        SamDataError: It names nothing, or is no caption.
    """
    text = caption_of_object(caption)
    opening = _OF_ICON.match(text)
    text = _ICON_AFTER.sub("", text[opening.end() :] if opening else text)
    return next(iter(agreed_attributes([text]).values()))


def _runs(caption: str) -> list[list[str]]:
    """Return the stretches of words that say something of the object, in lower case."""
    runs: list[list[str]] = [[]]
    for token in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", caption.lower()):
        if token in _EMPTY or not token.isalnum() or len(token) < 2:
            runs.append([])
        else:
            runs[-1].append(token)
    return [run for run in runs if run]


def _shared(run: Sequence[str], captions: Sequence[str]) -> list[str]:
    """Return the longest phrases of a stretch that stand in every caption, from left to right."""
    phrases, start = [], 0
    while start < len(run):
        fitting = [
            stop
            for stop in range(len(run), start, -1)
            if all(mentions(caption, " ".join(run[start:stop])) for caption in captions)
        ]
        if fitting:
            phrases.append(" ".join(run[start : fitting[0]]))
        start = fitting[0] if fitting else start + 1
    return phrases
