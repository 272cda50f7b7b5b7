import numpy as np
import pytest

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import METRICS, score
from lavis_sam.metrics.resampling import intervals, paired_differences

WORDS = list("abcdefghijklmnopqr")


def corpus(count, quality, seed=0):
    """Predictions that keep each word of the truth with the given probability; the truths depend on `count` alone."""
    truths = [list(row) for row in np.random.default_rng(1).choice(WORDS, size=(count, 8))]
    generator = np.random.default_rng(seed)
    rows = []
    for i, truth in enumerate(truths):
        kept = [word if generator.random() < quality else generator.choice(WORDS) for word in truth]
        rows.append(Prediction(i, " ".join(kept), " ".join(truth), (" ".join(truth),)))
    return score(rows)


def test_intervals_hold_the_score_and_are_repeatable():
    scores = corpus(60, 0.6)
    found = intervals(scores, resamples=200)
    assert found == intervals(scores, resamples=200)
    assert found != intervals(scores, resamples=200, seed=1)
    for metric, value in scores.corpus().items():
        assert 0 <= found[metric].low < value < found[metric].high


def test_the_interval_of_a_mean_is_that_of_theory():
    scores = corpus(400, 0.6)
    found = intervals(scores, resamples=2000)["rouge"]
    error = 100 * scores.statistics["rouge"].std() / np.sqrt(len(scores.ids))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_a_higher_level_is_wider_and_more_samples_are_narrower():
    width = {}
    for count in (40, 400):
        for level in (0.5, 0.95):
            found = intervals(corpus(count, 0.6), resamples=300, level=level)["bleu4"]
            width[count, level] = found.high - found.low
    assert width[40, 0.5] < width[40, 0.95]
    assert width[400, 0.95] < width[40, 0.95]


def test_a_clear_difference():
    worse, better = corpus(80, 0.3), corpus(80, 0.9)
    found = paired_differences(worse, better, resamples=300)
    for metric in METRICS:
        row = found[metric]
        assert row.first == pytest.approx(worse.corpus()[metric])
        assert row.second == pytest.approx(better.corpus()[metric])
        assert row.difference == pytest.approx(row.second - row.first)
        assert 0 < row.interval.low < row.difference < row.interval.high
        assert row.p_value == pytest.approx(1 / 301)


def test_the_other_way_round_is_the_negative():
    worse, better = corpus(50, 0.4), corpus(50, 0.6)
    one, other = paired_differences(worse, better, resamples=100), paired_differences(better, worse, resamples=100)
    for metric in METRICS:
        assert one[metric].difference == pytest.approx(-other[metric].difference)
        assert one[metric].interval.low == pytest.approx(-other[metric].interval.high)
        assert one[metric].p_value == pytest.approx(other[metric].p_value, abs=0.1)


def test_a_model_against_itself():
    scores = corpus(30, 0.5)
    for row in paired_differences(scores, scores, resamples=50).values():
        assert (row.difference, row.interval.low, row.interval.high, row.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_p_values_of_equally_good_models_are_spread_out():
    p_values = [
        paired_differences(corpus(40, 0.5, seed), corpus(40, 0.5, seed + 100), resamples=100)["rouge"].p_value
        for seed in range(40)
    ]
    # 5 % of the tests of a true hypothesis fall below 0.05; 9 of 40 would by chance once in 30,000 times.
    assert sum(p < 0.05 for p in p_values) < 9
    assert 0.3 < np.mean(p_values) < 0.7


def test_refusals():
    scores = corpus(5, 0.5)
    with pytest.raises(SamConfigurationError, match="resamples: found 0"):
        intervals(scores, resamples=0)
    with pytest.raises(SamConfigurationError, match="level: found 1"):
        intervals(scores, level=1)
    with pytest.raises(SamDataError, match="found 5 samples under protocol sam and 6 under sam"):
        paired_differences(scores, corpus(6, 0.5))
    other = score([Prediction(i, "a", "b", ("b",)) for i in range(5)], "coco")
    with pytest.raises(SamDataError, match="5 under coco"):
        paired_differences(scores, other)
