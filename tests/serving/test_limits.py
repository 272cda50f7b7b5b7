import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.serving.limits import Limits, RequestRefusedError


@pytest.mark.parametrize("name", ["requests", "bytes", "seconds"])
def test_limits_are_above_0(name):
    with pytest.raises(SamConfigurationError, match=f"limit of {name}: found 0"):
        Limits(**{name: 0})


def test_limits_a_refusal_says_what_and_where():
    error = RequestRefusedError("too much", status=413, code="too_large", param="messages")
    assert (str(error), error.status, error.code, error.param) == ("too much", 413, "too_large", "messages")
