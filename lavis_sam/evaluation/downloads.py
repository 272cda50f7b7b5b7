"""How to get the data sets of the paper's evaluation; a data file that ships with the package."""

import functools
from dataclasses import dataclass
from importlib import resources

import yaml  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        place: An address, or whom to ask.
        licence: The terms, as far as its page says.
    """

    place: str
    licence: str


@functools.cache
def sources() -> dict[str, Source]:
    """Data set name -> where it comes from."""
    text = resources.files("lavis_sam.evaluation").joinpath("sources.yaml").read_text("utf-8")
    return {name: Source(entry["from"], entry["licence"]) for name, entry in yaml.safe_load(text).items()}
