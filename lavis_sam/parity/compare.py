"""Verdicts: how far an array of ours may be from the authors', and whether it is that close."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# The authors' visual path differs from itself in float64 by up to 6e-6; ours, batched and through fused attention, from
# theirs by up to 7e-6. Eight times that is still far below any change of meaning (a wrong mask or order shows at 1e-1).
VISUAL_TOLERANCE = 5e-5
LOSS_TOLERANCE = 1e-5
# The language model answers a small change of the visual tokens with up to 7.6 times as much in the logits (measured on
# the shared cases); measured against the authors': 2e-5, of logits up to 16.
LOGITS_TOLERANCE = 2e-4
# Of a gradient tensor's largest magnitude: single elements near zero have no meaningful relative difference.
GRADIENT_TOLERANCE = 1e-4
# Gradients that cancel in exact arithmetic (attn.bias, which every softmax drops) are rounding noise of at most 3e-8.
VANISHING_GRADIENT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """The verdict on one array or text.

    Attributes:
        array: Its name, as stored.
        difference: Largest absolute difference; None where none can be taken (other shape, absent).
        tolerance: The largest difference allowed; None where equality is wanted or nothing was compared.
        verdict: "pass", "FAIL", or "absent" when the case holds no such array, "skipped" when none could be equal.
        note: What a reader should know.
    """

    array: str
    difference: float | None
    tolerance: float | None
    verdict: str
    note: str = ""


def absent(array: str, note: str = "not in this case") -> Comparison:
    """Return the verdict on an array that the case does not hold."""
    return Comparison(array, None, None, "absent", note)


def compare_close(array: str, ours: Tensor, theirs: Tensor, tolerance: float) -> Comparison:
    """Compare floating-point arrays of any one shape; NaN is never close."""
    if ours.shape != theirs.shape:
        return _other_shape(array, ours, theirs, tolerance)
    difference = _largest(ours.detach().double() - theirs.double())
    if not math.isfinite(difference):
        return Comparison(array, None, tolerance, "FAIL", "NaN or infinite values")
    return Comparison(array, difference, tolerance, _verdict(difference <= tolerance))


def compare_gradient(array: str, ours: Tensor | None, theirs: Tensor) -> Comparison:
    """Compare a parameter's gradient; None is a parameter that got none, and zero is what that means."""
    ours = torch.zeros_like(theirs) if ours is None else ours
    magnitude = _largest(theirs)
    if magnitude > VANISHING_GRADIENT_TOLERANCE:
        return compare_close(array, ours, theirs, GRADIENT_TOLERANCE * magnitude)
    result = compare_close(array, ours, theirs, VANISHING_GRADIENT_TOLERANCE)
    return Comparison(array, result.difference, result.tolerance, result.verdict, "vanishing, so compared absolutely")


def compare_equal(array: str, ours: Tensor, theirs: Tensor) -> Comparison:
    """Compare whole numbers, which must be equal."""
    if ours.shape != theirs.shape:
        return _other_shape(array, ours, theirs, None)
    difference = _largest((ours.long() - theirs.long()).double())
    wrong = int((ours.long() != theirs.long()).sum())
    return Comparison(
        array, difference, None, _verdict(wrong == 0), f"{wrong} of {theirs.numel()} differ" if wrong else ""
    )


def compare_texts(array: str, ours: list[str], theirs: list[str]) -> Comparison:
    """Compare texts, which must be equal."""
    wrong = [(a, b) for a, b in zip(ours, theirs, strict=False) if a != b]
    if len(ours) != len(theirs):
        return Comparison(array, None, None, "FAIL", f"{len(ours)} texts, {len(theirs)} wanted")
    note = f"{len(wrong)} of {len(theirs)} differ, first: {wrong[0][0]!r}, wanted {wrong[0][1]!r}" if wrong else ""
    return Comparison(array, None, None, _verdict(not wrong), note)


def _verdict(passed: bool) -> str:
    return "pass" if passed else "FAIL"


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _other_shape(array: str, ours: Tensor, theirs: Tensor, tolerance: float | None) -> Comparison:
    return Comparison(array, None, tolerance, "FAIL", f"shape {list(ours.shape)}, {list(theirs.shape)} wanted")
