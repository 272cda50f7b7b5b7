"""Fingerprints compare the parts that both sides have."""

import pytest

from helpers.models import small_model
from lavis_sam.weights.fingerprints import compare_fingerprints, fingerprint


def test_fingerprints_compare_what_both_have():
    one = fingerprint(small_model())
    assert len(one) == 7
    assert compare_fingerprints(one, one) == []
    assert compare_fingerprints({**one, "further": "1"}, one) == []
    assert compare_fingerprints({"queries": "1 2"}, {"queries": "1 2 3"}) == ["queries"]
    assert compare_fingerprints({"queries": "one"}, {"queries": "1"}) == ["queries"]


@pytest.mark.parametrize("number", ["inf", "1e999", "nan", "3e38"])
def test_fingerprints_of_infinite_numbers_are_close_to_none(number):
    wanted, found = (" ".join([one] * 32) for one in (number, "0.01"))
    assert compare_fingerprints({"queries": wanted}, {"queries": found}) == ["queries"]
