import torch

from lavis_sam.parity.compare import absent, compare_close, compare_equal, compare_gradient, compare_texts


def test_close_arrays_pass_and_others_fail():
    zeros = torch.zeros(2, 2)
    assert compare_close("x", zeros, zeros, 1e-5).verdict == "pass"
    row = compare_close("x", zeros + 3e-5, zeros, 1e-5)
    assert row.verdict == "FAIL"
    assert abs(row.difference - 3e-5) < 1e-9
    assert compare_close("x", zeros + 1e-5 / 2, zeros, 1e-5).verdict == "pass"


def test_nan_infinity_and_other_shapes_never_pass():
    for value in (float("nan"), float("inf")):
        row = compare_close("x", torch.tensor([value]), torch.tensor([value]), 1e9)
        assert (row.verdict, row.difference) == ("FAIL", None)
    assert compare_close("x", torch.zeros(2), torch.zeros(1, 2), 1).note == "shape [2], [1, 2] wanted"
    assert compare_equal("x", torch.zeros(2).long(), torch.zeros(3).long()).verdict == "FAIL"


def test_gradients_are_measured_by_their_largest_magnitude():
    theirs = torch.tensor([1e-9, 10.0])
    assert compare_gradient("g", theirs + 9e-4, theirs).verdict == "pass"
    assert compare_gradient("g", theirs + 1.1e-3, theirs).verdict == "FAIL"
    assert compare_gradient("g", None, theirs).verdict == "FAIL"


def test_vanishing_gradients_are_compared_absolutely():
    noise = torch.tensor([3e-8])
    assert compare_gradient("g", -noise, noise).verdict == "pass"
    assert compare_gradient("g", None, torch.zeros(1)).verdict == "pass"
    assert compare_gradient("g", torch.tensor([2e-6]), noise).verdict == "FAIL"


def test_ids_and_texts_must_be_equal():
    assert compare_equal("i", torch.tensor([1, 2]), torch.tensor([1, 2])).verdict == "pass"
    assert compare_equal("i", torch.tensor([1, 2, 5]), torch.tensor([1, 3, 4])).note == "2 of 3 differ"
    assert compare_texts("t", ["a"], ["a"]).verdict == "pass"
    assert compare_texts("t", ["a", "b"], ["a", "c"]).note == "1 of 2 differ, first: 'b', wanted 'c'"
    assert compare_texts("t", ["a"], ["a", "b"]).verdict == "FAIL"
    assert absent("x").verdict == "absent"
