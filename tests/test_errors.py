"""Our errors are one family, and each is also the error of Python's that its kind would be."""

import pytest

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError, SamError


@pytest.mark.parametrize(
    ("error", "kind"),
    [(SamConfigurationError, ValueError), (SamDataError, ValueError), (SamCheckpointError, RuntimeError)],
)
def test_errors_are_caught_as_ours_and_as_pythons(error, kind):
    for caught in (SamError, kind):
        with pytest.raises(caught, match="what is wrong"):
            raise error("what is wrong")
