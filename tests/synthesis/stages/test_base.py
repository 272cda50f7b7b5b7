"""Batches in which one failure is one failure."""

import pytest

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.synthesis.stages.base import Failure, answer_all


def test_one_request_that_raises_fails_alone():
    def call(requests):
        return [10 // request for request in requests]

    found = answer_all(call, [5, 0, 2])
    assert (found[0], found[2]) == (2, 5)
    assert isinstance(found[1], Failure)
    assert found[1].reason == "ZeroDivisionError"


def test_an_error_in_the_place_of_an_answer_fails_it_alone_and_asks_nobody_again():
    calls = []

    def call(requests):
        calls.append(list(requests))
        return [SamDataError("no words") if request == 2 else request for request in requests]

    first, second, third = answer_all(call, [1, 2, 3])
    assert (first, third) == (1, 3)
    assert second == Failure("SamDataError", "no words")
    assert calls == [[1, 2, 3]]


def test_another_number_of_answers_is_a_failure_of_each():
    found = answer_all(lambda requests: [], ["a", "b"])
    assert [failure.message for failure in found] == ["the backend gave 0 answers to 1 requests"] * 2


@pytest.mark.parametrize("error", [SamConfigurationError("no package"), SamCheckpointError("cut off"), MemoryError()])
def test_a_backend_that_cannot_work_at_all_ends_the_run(error):
    def call(requests):
        raise error

    with pytest.raises(type(error)):
        answer_all(call, [1, 2])


def test_no_requests_give_no_call():
    assert answer_all(lambda requests: pytest.fail("called"), []) == []
