import pytest

from lavis_sam.baselines.budget import Budget, Cost, Limits, image_tokens, text_tokens
from lavis_sam.errors import SamConfigurationError


def test_costs_add_up():
    assert Cost(1, 2, 3) + Cost(10, 20, 30) - Cost(0, 2, 3) == Cost(11, 20, 30)
    assert Limits(input_price=2.0, output_price=8.0).price(Cost(1, 500_000, 250_000)) == 3.0
    assert Limits(input_price=2.0).price(Cost(1, 1, 1)) is None


def test_what_is_reserved_counts_until_it_is_settled():
    budget = Budget(Limits(requests=None, tokens=100))
    budget.reserve(Cost(1, 60, 20), "one")
    with pytest.raises(
        SamConfigurationError, match=r"two would take this run to at most 130 of tokens; the limit is 100"
    ):
        budget.reserve(Cost(1, 40, 10), "two")
    assert budget.used == Cost(1, 60, 20)
    budget.settle(Cost(1, 60, 20), Cost(1, 30, 5))
    budget.reserve(Cost(1, 40, 10), "two")
    assert budget.used == Cost(2, 70, 15)


def test_the_limit_itself_is_allowed():
    budget = Budget(Limits(requests=2))
    budget.reserve(Cost(2), "both")
    with pytest.raises(SamConfigurationError, match="--max-requests"):
        budget.reserve(Cost(1), "a third")


@pytest.mark.parametrize("wrong", [{"requests": -1}, {"tokens": -5}, {"images": -1}, {"spending": float("nan")}])
def test_impossible_limits(wrong):
    with pytest.raises(SamConfigurationError, match=next(iter(wrong))):
        Limits(**wrong)


def test_a_limit_on_money_needs_prices():
    with pytest.raises(SamConfigurationError, match="without both prices"):
        Limits(spending=5.0, input_price=1.0)


@pytest.mark.parametrize("text", ["", "A dog runs.", "犬が走る。", "🐕🐕🐕", "\ud800"])
def test_texts_are_never_underestimated(text):
    assert text_tokens(text) > len(text)


@pytest.mark.parametrize(("side", "tokens"), [(512, 255), (513, 765), (768, 765), (1024, 765), (2048, 2805)])
def test_images_are_counted_in_tiles(side, tokens):
    assert image_tokens(side) == tokens
