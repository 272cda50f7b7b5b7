import pytest

from lavis_sam.baselines.retry import RequestRate, RetryPolicy, retry
from lavis_sam.baselines.transport import FailedError, RefusedError
from lavis_sam.errors import SamConfigurationError


def failing(times, error):
    """Raises so many times, then answers."""
    left = [error] * times

    def attempt():
        if left:
            raise left.pop()
        return "answer"

    return attempt


def test_waits_double_and_are_bounded():
    waits = []
    error = FailedError("x", is_billed=False)
    assert retry(failing(7, error), RetryPolicy(8, 1.0, 10.0), waits.append) == "answer"
    for wait, most in zip(waits, [1, 2, 4, 8, 10, 10, 10], strict=True):
        assert most / 2 <= wait <= most


def test_the_last_failure_is_told():
    waits = []
    with pytest.raises(FailedError, match="busy"):
        retry(failing(9, FailedError("busy", is_billed=True)), RetryPolicy(3), waits.append)
    assert len(waits) == 2


def test_a_refusal_is_not_tried_again():
    waits = []
    with pytest.raises(RefusedError):
        retry(failing(1, RefusedError("no")), RetryPolicy(3), waits.append)
    assert waits == []


def test_a_service_may_want_more_than_the_backoff_but_not_less():
    assert RetryPolicy().wait(1, 30.0) == 30.0
    assert RetryPolicy().wait(4, 0.0) >= 4.0
    assert RetryPolicy().wait(1, 121.0) is None


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first_wait": -1.0}, {"longest_wait": -1.0}])
def test_impossible_patience(wrong):
    with pytest.raises(SamConfigurationError):
        RetryPolicy(**wrong)


def test_the_rate_spreads_requests():
    now, waits = [100.0], []

    def sleep(seconds):
        waits.append(seconds)
        now[0] += seconds

    rate = RequestRate(30, clock=lambda: now[0])
    for _ in range(3):
        rate.wait(sleep)
    assert waits == [2.0, 2.0]
    now[0] += 60
    rate.wait(sleep)  # a pause is not saved up for a burst
    rate.wait(sleep)
    assert waits == [2.0, 2.0, 2.0]


def test_no_rate_no_wait():
    waits = []
    rate = RequestRate(None)
    for _ in range(5):
        rate.wait(waits.append)
    assert waits == []
    with pytest.raises(SamConfigurationError, match="above 0"):
        RequestRate(0)
