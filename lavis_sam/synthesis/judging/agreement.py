"""Do raters agree (Cohen 1960), and does each automatic check find what they call bad?

A check is a score with a bound on one side. Precision is the share of the samples that it refuses which raters call
bad; recall is the share of the samples that raters call bad which it refuses.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lavis_sam.synthesis.judging.ratings import ASPECTS, Ratings, united
from lavis_sam.synthesis.quality import SCORES, Limits, first_violation

# Scores of which more is worse; of all others less is worse.
_MORE_IS_WORSE = (
    "mask.holes", "mask.border", "composite.overlap", "subject.difference", "subject.pasted", "background.fill",
    "background.extra_salient", "text.leaked_prompt", "text.banned",
)  # fmt: skip
# Scores that can be too small and too large.
_BOTH = ("mask.area", "text.words")
# Points of a curve; a page needs no more.
_MOST_POINTS = 100
_CONFIDENCE = 0.95
_DEVIATIONS = 1.959964


@dataclass(frozen=True)
class Rated:
    """One sample with what is known of it.

    Attributes:
        scores: Its line's `scores` in samples.jsonl.
        good: Aspect -> what most raters say; an aspect of which they are divided is not there.
    """

    scores: Mapping[str, Sequence[float]]
    good: Mapping[str, bool]


def rated_samples(
    scores: Mapping[str, Mapping[str, Sequence[float]]], ratings: Sequence[Ratings]
) -> tuple[list[Rated], dict[str, int]]:
    """Unite ratings and scores.

    Args:
        scores: Sample id -> its scores.

    Returns:
        The rated samples, and aspect -> of how many the raters are divided.
    """
    decided = {aspect: united(ratings, aspect) for aspect in ASPECTS}
    names = sorted({sample for one in ratings for sample in one.good})
    rated = [
        Rated(scores[name], {aspect: good[name] for aspect, (good, _) in decided.items() if name in good})
        for name in names
    ]
    return rated, {aspect: divided for aspect, (_, divided) in decided.items()}


def kappa(first: Sequence[bool], second: Sequence[bool]) -> dict[str, Any]:
    """Return Cohen's kappa of two raters of the same samples, with its 95 % interval by Cohen's standard error.

    Returns:
        `samples`, `agreement` (share that they agree on), `kappa`, `low` and `high`. The latter three are None where
        both say one and the same thing of all: then agreement by chance is 1, and kappa says nothing. Of no samples,
        `agreement` is None too.
    """
    one, other = np.asarray(first, bool), np.asarray(second, bool)
    count = len(one)
    if not count:
        return {"samples": 0, "agreement": None, "kappa": None, "low": None, "high": None}
    agreement = float((one == other).mean())
    chance = float(one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean()))
    if chance >= 1.0:
        return {"samples": count, "agreement": agreement, "kappa": None, "low": None, "high": None}
    value = (agreement - chance) / (1 - chance)
    error = _DEVIATIONS * math.sqrt(agreement * (1 - agreement) / count) / (1 - chance)
    low, high = max(-1.0, value - error), min(1.0, value + error)
    return {"samples": count, "agreement": agreement, "kappa": value, "low": low, "high": high}


def agreement_of_raters(ratings: Sequence[Ratings]) -> list[dict[str, Any]]:
    """Return kappa of each two raters, of each aspect, on the samples that both have rated."""
    found = []
    for one, other in combinations(ratings, 2):
        common = sorted(one.good.keys() & other.good.keys())
        for aspect in ASPECTS:
            values = kappa([one.good[name][aspect] for name in common], [other.good[name][aspect] for name in common])
            found.append({"raters": [one.rater, other.rater], "aspect": aspect, **values})
    return found


def checks(rated: Sequence[Rated], limits: Mapping[str, Limits]) -> list[dict[str, Any]]:
    """Return precision and recall of each check over its thresholds, and at the configured one.

    Args:
        limits: Score -> the thresholds to judge.
    """
    found = []
    for name in SCORES:
        aspect = aspect_of(name)
        judged = [(one.scores[name], one.good[aspect]) for one in rated if one.scores.get(name) and aspect in one.good]
        for side in _sides(name) if judged else ():
            # A sample is refused for its worst value.
            worst = np.array([(min if side == "min" else max)(values) for values, _ in judged], float)
            bad = np.array([not good for _, good in judged])
            found.append(_check(name, side, aspect, worst, bad, getattr(limits.get(name, Limits()), side)))
    return found


def aspect_of(score: str) -> str:
    """Return what a score measures: the text, or the images."""
    return "text" if score.startswith("text.") else "images"


def all_checks(rated: Sequence[Rated], limits: Mapping[str, Limits]) -> dict[str, Any]:
    """Return precision and recall of all checks together at the configured thresholds: a sample has to pass all."""
    judged = [one for one in rated if "sample" in one.good]
    refused = np.array([first_violation(one.scores, limits) is not None for one in judged], bool)
    return _with_interval(at(refused, np.array([not one.good["sample"] for one in judged], bool)))


def at(refused: np.ndarray, bad: np.ndarray) -> dict[str, Any]:
    """Return precision and recall of refusing these samples, each None where it has no denominator.

    Args:
        refused: [N] whether the check refuses a sample.
        bad: [N] whether raters call it bad.
    """
    count, hits = int(refused.sum()), int((refused & bad).sum())
    return {
        "samples": len(bad),
        "bad": int(bad.sum()),
        "refused": count,
        "precision": hits / count if count else None,
        "recall": hits / int(bad.sum()) if bad.any() else None,
    }


def _with_interval(found: dict[str, Any]) -> dict[str, Any]:
    """Return the findings with the 95 % interval of precision (Wilson 1927), None where nothing is refused."""
    if not found["refused"]:
        return {**found, "precision_interval": None}
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    hits = round(found["precision"] * found["refused"])
    interval = binomtest(hits, found["refused"]).proportion_ci(_CONFIDENCE, method="wilson")
    return {**found, "precision_interval": [float(interval.low), float(interval.high)]}


def _sides(name: str) -> tuple[str, ...]:
    if name in _BOTH:
        return ("min", "max")
    return ("max",) if name in _MORE_IS_WORSE else ("min",)


def _check(
    name: str, side: str, aspect: str, worst: np.ndarray, bad: np.ndarray, threshold: float | None
) -> dict[str, Any]:
    def refused(bound: float) -> np.ndarray:
        # As `Limits.violation` has it: what is no number passes no bound.
        return ~(worst >= bound) if side == "min" else ~(worst <= bound)

    values = np.unique(worst[np.isfinite(worst)])
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_POINTS)).round().astype(int))
    points = [{"threshold": float(values[place]), **at(refused(values[place]), bad)} for place in places]
    curve = [{key: point[key] for key in ("threshold", "refused", "precision", "recall")} for point in points]
    now = None if threshold is None else {"threshold": threshold, **_with_interval(at(refused(threshold), bad))}
    best = max(curve, key=_f1, default=None)
    return {
        "score": name,
        "side": side,
        "aspect": aspect,
        "samples": len(bad),
        "bad": int(bad.sum()),
        "now": now,
        "best_f1": best if best is not None and _f1(best) > 0 else None,
        "curve": curve,
    }


def _f1(point: Mapping[str, Any]) -> float:
    precision, recall = point["precision"] or 0.0, point["recall"] or 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
