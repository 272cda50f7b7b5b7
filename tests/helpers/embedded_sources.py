"""The embedded sources, and draws from them."""

import numpy as np

from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.sources.embedded import (
    DrawnCovers,
    EmbeddedIcons,
    ProceduralCharacters,
    ProceduralFurniture,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def draw(source, seed=0, views=1, unlike=(), position=None):
    return source.draw(SampleRequest(rng(seed), views, position, tuple(unlike)))


SOURCES = {
    "characters": ProceduralCharacters,
    "furniture": ProceduralFurniture,
    "icons": EmbeddedIcons,
    "covers": DrawnCovers,
}
