"""Attempts: everything random in one follows from its four values."""

from dataclasses import replace

from lavis_sam.synthesis.records import Attempt

FIRST = Attempt(seed=3, slot=12, number=0, kind="icons")


def test_an_attempt_draws_the_same_for_a_stage_and_item_alone():
    drawn = FIRST.rng("plan", 1).random(4).tolist()
    assert FIRST.rng("plan", 1).random(4).tolist() == drawn
    others = [
        FIRST.rng("plan", 2), FIRST.rng("inpaint", 1),
        *(replace(FIRST, **change).rng("plan", 1) for change in ({"seed": 4}, {"slot": 13}, {"number": 1})),
    ]  # fmt: skip
    assert all(other.random(4).tolist() != drawn for other in others)


def test_a_retry_keeps_its_id_and_leaves_its_position_to_chance():
    again = replace(FIRST, number=1)
    assert FIRST.id == again.id == "000012"
    assert (FIRST.position, again.position) == (12, None)
