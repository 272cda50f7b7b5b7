"""Agreement of raters, precision and recall of checks, against numbers worked out by hand."""

import math

import pytest

from lavis_sam.synthesis.judging.agreement import (
    Rated,
    agreement_of_raters,
    all_checks,
    aspect_of,
    checks,
    kappa,
    rated_samples,
)
from lavis_sam.synthesis.judging.ratings import Ratings
from lavis_sam.synthesis.quality import SCORES, Limits


def test_kappa_of_a_textbook_table():
    """Both yes 20, only the first 5, only the second 10, both no 15: agreement 0.7, chance 0.5, kappa 0.4."""
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = kappa(first, second)
    assert found["agreement"] == pytest.approx(0.7)
    assert found["kappa"] == pytest.approx(0.4)
    error = 1.959964 * math.sqrt(0.7 * 0.3 / 50) / 0.5
    assert (found["low"], found["high"]) == pytest.approx((0.4 - error, 0.4 + error))


def test_kappa_knows_full_agreement_and_its_opposite():
    assert kappa([True, False], [True, False])["kappa"] == 1.0
    assert kappa([True, False], [False, True])["kappa"] == -1.0


@pytest.mark.parametrize("said", [[True, True], []])
def test_kappa_is_not_defined_where_chance_agrees_as_well(said):
    found = kappa(said, said)
    assert found["kappa"] is None
    assert found["agreement"] == (1.0 if said else None)


def one(rater, **images):
    return Ratings(rater, {name: {"images": v, "text": True, "sample": v} for name, v in images.items()})


def test_raters_are_compared_on_what_both_have_rated():
    found = agreement_of_raters([one("Ada", a=True, b=False, c=True), one("Ben", a=True, b=False), one("Cy", c=False)])
    by = {(*entry["raters"], entry["aspect"]): entry for entry in found}
    assert by["Ada", "Ben", "images"]["kappa"] == 1.0
    assert by["Ada", "Ben", "images"]["samples"] == 2
    assert by["Ada", "Cy", "images"]["agreement"] == 0.0
    assert by["Ben", "Cy", "sample"]["samples"] == 0
    assert len(found) == 9


def test_divided_raters_are_counted_and_judge_no_check():
    rated, divided = rated_samples({"a": {}, "b": {}}, [one("Ada", a=True, b=False), one("Ben", a=False, b=False)])
    assert divided == {"images": 1, "text": 0, "sample": 1}
    assert [dict(sample.good) for sample in rated] == [
        {"text": True}, {"images": False, "text": True, "sample": False}
    ]  # fmt: skip


def sample(good, **scores):
    names = {name.replace("__", "."): values for name, values in scores.items()}
    return Rated(names, {"images": good, "text": good, "sample": good})


# Overlap of the worst object -> whether it is good: refusing what is above 0.2 refuses 3, of which 2 are bad.
OVERLAPS = [
    sample(True, composite__overlap=(0.0, 0.05)),
    sample(True, composite__overlap=(0.1, 0.0)),
    sample(False, composite__overlap=(0.0, 0.2)),
    sample(True, composite__overlap=(0.3, 0.3)),
    sample(False, composite__overlap=(0.1, 0.4)),
    sample(False, composite__overlap=(0.5, 0.0)),
]


def test_precision_and_recall_of_a_bound_from_above():
    (found,) = checks(OVERLAPS, {"composite.overlap": Limits(max=0.2)})
    assert (found["score"], found["side"], found["aspect"]) == ("composite.overlap", "max", "images")
    assert (found["samples"], found["bad"]) == (6, 3)
    now = found["now"]
    assert (now["threshold"], now["refused"]) == (0.2, 3)
    assert (now["precision"], now["recall"]) == pytest.approx((2 / 3, 2 / 3))
    low, high = now["precision_interval"]
    assert (low, high) == pytest.approx((0.2077, 0.9385), abs=1e-4)  # Wilson's interval of 2 of 3
    at = {point["threshold"]: (point["refused"], point["precision"], point["recall"]) for point in found["curve"]}
    assert at[0.5] == (0, None, 0.0)
    assert at[0.4] == (1, 1.0, pytest.approx(1 / 3))
    assert at[0.1] == (4, 0.75, 1.0)
    assert found["best_f1"]["threshold"] == 0.1


def test_a_bound_from_below_refuses_the_smallest_value_of_a_sample():
    rated = [sample(False, text__attributes=(0.5,)), sample(True, text__attributes=(1.0,))]
    (found,) = checks(rated, {"text.attributes": Limits(min=1.0)})
    assert (found["side"], found["aspect"]) == ("min", "text")
    assert (found["now"]["refused"], found["now"]["precision"], found["now"]["recall"]) == (1, 1.0, 1.0)


def test_a_check_that_finds_nothing_has_no_best_threshold_and_one_without_bound_is_not_judged():
    rated = [sample(False, mask__largest=(1.0,)), sample(True, mask__largest=(1.0,))]
    (found,) = checks(rated, {})
    assert found["now"] is None
    assert found["best_f1"] is None


def test_scores_with_two_sides_are_two_checks():
    rated = [sample(False, text__words=(2.0,)), sample(True, text__words=(9.0,)), sample(False, text__words=(90.0,))]
    low, high = checks(rated, {"text.words": Limits(min=3, max=80)})
    assert (low["side"], low["now"]["refused"]) == ("min", 1)
    assert (high["side"], high["now"]["refused"]) == ("max", 1)


def test_a_value_that_is_no_number_passes_no_bound():
    rated = [sample(False, mask__largest=(float("nan"),)), sample(True, mask__largest=(1.0,))]
    (found,) = checks(rated, {"mask.largest": Limits(min=0.5)})
    assert found["now"]["refused"] == 1
    assert [point["threshold"] for point in found["curve"]] == [1.0]


def test_a_curve_of_many_values_is_thinned():
    rated = [sample(number % 3 > 0, mask__largest=(number / 1000,)) for number in range(1000)]
    (found,) = checks(rated, {})
    thresholds = [point["threshold"] for point in found["curve"]]
    assert len(thresholds) == 100
    assert (thresholds[0], thresholds[-1]) == (0.0, 0.999)


def test_all_checks_together_refuse_what_any_refuses():
    rated = [
        sample(False, mask__largest=(0.1,)), sample(False, text__words=(1.0,)), sample(True, text__words=(1.0,)),
        sample(False, text__words=(5.0,)), sample(True),
    ]  # fmt: skip
    found = all_checks(rated, {"mask.largest": Limits(min=0.9), "text.words": Limits(min=3)})
    assert (found["samples"], found["bad"], found["refused"]) == (5, 3, 3)
    assert (found["precision"], found["recall"]) == pytest.approx((2 / 3, 2 / 3))
    assert all_checks(rated, {})["precision"] is None


def test_every_configured_bound_is_on_a_side_that_is_judged():
    from lavis_sam.synthesis.configuration import SynthesisSettings, read_config

    limits = SynthesisSettings.from_config(read_config("mmlink")).quality
    rated = [sample(True, **{name.replace(".", "__"): (0.5,) for name in SCORES})]
    judged = {(check["score"], check["side"]) for check in checks(rated, limits) if check["now"] is not None}
    configured = {
        (name, side) for name, limit in limits.items() for side in ("min", "max") if getattr(limit, side) is not None
    }
    assert judged == configured


def test_texts_are_judged_by_the_text():
    assert {name for name in SCORES if aspect_of(name) == "text"} == {name for name in SCORES if name[:4] == "text"}


def test_the_unjudged_configuration_refuses_nothing():
    from lavis_sam.synthesis.configuration import SynthesisSettings, read_config

    settings = SynthesisSettings.from_config(read_config("unjudged"))
    assert set(settings.quality) == set(SCORES)
    most = {"background.extra_salient": 1.0}
    for name, limit in settings.quality.items():
        for value in (0.0, most.get(name, 1e9)):
            assert limit.violation(value) is None, name
