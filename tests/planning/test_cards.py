"""Which cards a plan fits on."""

import pytest

from lavis_sam.planning.cards import fitting_cards

GIB = 2**30


@pytest.mark.parametrize(
    ("gib", "cards"),
    [(0.05, [24, 40, 80]), (17.955, [24, 40, 80]), (21, [40, 80]), (31.091, [40, 80]), (37, [80]), (80, [])],
)
def test_fitting_cards_keeps_a_tenth_free(gib, cards):
    """17.955 and 31.091 GiB are the paper's recipe on Vicuna-7B and 13B."""
    assert fitting_cards({"training": gib * GIB, "generation": 0}) == {"training": cards, "generation": [24, 40, 80]}
