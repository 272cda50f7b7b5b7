"""Each of the eleven data sets in miniature, by the name of its builder: folder -> what was written there."""

from collections.abc import Callable
from pathlib import Path

from helpers.change_releases import birds_to_words, clevr_change, iedit, spot_the_diff
from helpers.group_releases import conceptual, mmlink, nico_animal, nico_vehicle
from helpers.release_parts import Miniature
from helpers.story_releases import aesop, dm800k, vist

MINIATURES: dict[str, Callable[[Path], Miniature]] = {
    make.__name__: make
    for make in (
        mmlink,
        conceptual,
        nico_animal,
        nico_vehicle,
        aesop,
        vist,
        dm800k,
        spot_the_diff,
        clevr_change,
        birds_to_words,
        iedit,
    )
}
