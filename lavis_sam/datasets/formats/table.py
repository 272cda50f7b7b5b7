"""The table of formats, by the name of the builder that reads them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.formats import (
    aesop,
    birds_to_words,
    clevr_change,
    conceptual,
    dm800k,
    iedit,
    nico,
    spot_the_diff,
    vist,
)
from lavis_sam.datasets.formats.release import Entry
from lavis_sam.errors import SamConfigurationError


@dataclass(frozen=True)
class Format:
    """How one data set is read.

    Attributes:
        task: Names the prompts (`prompts/<task>.yaml`).
        entries: Reads a release; None where the unified format is the release.
        options: What a user may choose, with the defaults.
    """

    task: str
    entries: Callable[..., Iterator[Entry]] | None
    options: Mapping[str, Any] = field(default_factory=dict)


_NICO_OPTIONS = {"group_size": 5, "target": "concept"}

FORMATS: dict[str, Format] = {
    "mmlink": Format("group_captioning", None),
    "conceptual": Format("group_captioning", conceptual.entries),
    "nico_animal": Format("group_captioning", nico.animal_entries, _NICO_OPTIONS),
    "nico_vehicle": Format("group_captioning", nico.vehicle_entries, _NICO_OPTIONS),
    "aesop": Format("storytelling", aesop.entries),
    "vist": Format("storytelling", vist.entries),
    "dm800k": Format("storytelling", dm800k.entries),
    "spot_the_diff": Format("change_captioning", spot_the_diff.entries),
    "clevr_change": Format("change_captioning", clevr_change.entries),
    "birds_to_words": Format("change_captioning", birds_to_words.entries),
    "iedit": Format("edit_request", iedit.entries),
}


def format_named(name: str, place: str = "format") -> Format:
    """The format of a name.

    Args:
        name: A builder's name.
        place: What an error calls the key or argument that holds the name.

    Raises:
        SamConfigurationError: No such format; the message lists them.
    """
    if name not in FORMATS:
        raise SamConfigurationError(unknown_name("format", name, FORMATS, place))
    return FORMATS[name]
